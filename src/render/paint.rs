//! Colours: green for done or created, red for failed or deleted, yellow for a warning, cyan for
//! names. The output must be understandable without them.

use anstyle::{AnsiColor, Style};

use crate::neutral::one_line;

/// The meaning of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Created or done.
    Good,
    /// Deleted or failed.
    Bad,
    /// Needs attention.
    Warning,
    Name,
    /// A heading.
    Strong,
    /// Less important.
    Faint,
}

/// Colours text, or leaves it unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Colour,
    Plain,
}

impl Paint {
    /// Returns the text in its tone. The text must be on one line.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let text = one_line(text);
        if self == Self::Plain {
            return text.into_owned();
        }
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }

    /// Returns the escape sequences that this type emits; all others in an output are foreign.
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
