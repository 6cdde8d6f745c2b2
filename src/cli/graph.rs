//! `trueup graph`: the dependency graph of what is planned.

use std::path::Path;

use super::args::GraphArgs;
use super::exit::{Exit, Failure};
use super::load;
use super::ui::Ui;
use crate::apply::{Clients, observe};
use crate::plan::{self, Options};
use crate::spec::Contact;
use crate::system::Purpose;
use crate::world::File;

pub(super) async fn run(args: &GraphArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let contact = if args.world.is_some() { Contact::Offline } else { Contact::Live };
    let stack = load::stack(file, contact, ui)?;
    let world = match &args.world {
        Some(path) => File::read(path, &stack.name)?.world,
        None => observe(&stack, &Clients::new(&stack, Purpose::Observe, args.train)?).await?,
    };
    let options = Options { train: args.train, ..Options::default() };
    let plan = plan::plan(&stack, &world, &options).map_err(|failure| load::no_plan(failure, ui))?;
    if !plan.document.has_changes() {
        ui.note("nothing is planned, so the graph is empty");
    }
    ui.answer(&crate::render::graph(&plan.document, args.format.into()));
    Ok(Exit::Done)
}
