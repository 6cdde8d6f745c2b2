//! `trueup show`: a saved plan, offline.

use super::args::ShowArgs;
use super::exit::{Exit, Failure};
use super::ui::Ui;

pub(super) fn run(args: &ShowArgs, ui: &Ui) -> Result<Exit, Failure> {
    let document = crate::plan::read(&args.plan)?;
    ui.answer(&super::plan::print(&document, args.format, args.max_bytes, ui));
    Ok(Exit::Done)
}
