//! Colours and what they mean: green done or made, red failed or taken away, yellow a warning,
//! cyan names. Everything reads the same without them.

use anstyle::{AnsiColor, Style};

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Made, done.
    Good,
    /// Taken away, failed.
    Bad,
    /// To be looked at.
    Warning,
    /// A name.
    Name,
    /// A heading.
    Strong,
    /// Of less weight.
    Faint,
}

/// Paints, or leaves text as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// With ANSI colours.
    Colour,
    /// Without.
    Plain,
}

impl Paint {
    /// The text in its tone.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        if self == Self::Plain {
            return text.to_owned();
        }
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        let style = match tone {
            Tone::Good => colour(AnsiColor::Green),
            Tone::Bad => colour(AnsiColor::Red),
            Tone::Warning => colour(AnsiColor::Yellow),
            Tone::Name => colour(AnsiColor::Cyan),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}
