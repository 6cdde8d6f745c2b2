//! `trueup schema`, `completions` and `man`: print generated documentation.

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure, Plain};
use super::ui::Ui;

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// What the schema describes
    #[arg(value_enum, default_value = "stack")]
    pub of: SchemaOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// The stack spec.
    Stack,
    /// A plan, as `plan --format json` prints it.
    Plan,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

pub(super) fn schema(args: &SchemaArgs, ui: &Ui) -> Result<Exit, Failure> {
    let schema = match args.of {
        SchemaOf::Stack => crate::stack::json_schema(),
        SchemaOf::Plan => crate::plan::json_schema(),
    };
    ui.answer(&format!("{schema:#}\n"));
    Ok(Exit::Done)
}

pub(super) fn completions(
    args: &CompletionsArgs,
    mut command: clap::Command,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "trueup", &mut script);
    ui.answer(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

pub(super) fn man(command: clap::Command, ui: &Ui) -> Result<Exit, Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|source| Plain::io("write", "the manual page", &source))?;
    ui.answer(&String::from_utf8_lossy(&page));
    Ok(Exit::Done)
}
