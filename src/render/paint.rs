//! Colours and what they mean: green done or made, red failed or taken away, yellow a warning,
//! cyan names. Everything reads the same without them.

use anstyle::{AnsiColor, Style};

use crate::neutral::one_line;

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Made, done.
    Good,
    /// Taken away, failed.
    Bad,
    /// To be looked at.
    Warning,
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
    /// The text in its tone, on one line.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let text = one_line(text);
        if self == Self::Plain {
            return text.into_owned();
        }
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }

    /// The sequences that it writes around text; all others come from somebody else.
    pub fn sequences(self) -> Vec<String> {
        if self == Self::Plain {
            return Vec::new();
        }
        let tones = [Tone::Good, Tone::Bad, Tone::Warning, Tone::Name, Tone::Strong, Tone::Faint];
        tones.iter().flat_map(|tone| [format!("{}", tone.style()), format!("{:#}", tone.style())]).collect()
    }
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Good => colour(AnsiColor::Green),
            Self::Bad => colour(AnsiColor::Red),
            Self::Warning => colour(AnsiColor::Yellow),
            Self::Name => colour(AnsiColor::Cyan),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}
