//! A TOML document, read key by key, with every problem noted and none of them final.

use std::{fmt::Display, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Problem, Warning};

/// Where something stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// The key as a path.
    pub key: String,
}

impl Place {
    /// Notes a problem here.
    pub fn problem(&self, problems: &mut Vec<Problem>, message: impl Display) {
        problems.push(Problem {
            line: self.line,
            key: self.key.clone(),
            message: message.to_string(),
        });
    }

    /// Something doubtful here.
    pub fn warning(&self, message: impl Display) -> Warning {
        Warning {
            line: self.line,
            key: self.key.clone(),
            message: message.to_string(),
        }
    }
}

/// The text, for line numbers.
#[derive(Clone, Copy)]
pub struct Text<'a>(pub &'a str);

impl Text<'_> {
    pub fn line(self, span: &Range<usize>) -> usize {
        let before = self.0.get(..span.start).unwrap_or(self.0);
        1 + before.matches('\n').count()
    }
}

/// The first error of each line: what follows on the same line is mostly its consequence.
pub fn syntax_errors(text: &str, errors: &[toml::de::Error], problems: &mut Vec<Problem>) {
    let mut starts: Vec<(usize, &str)> = errors
        .iter()
        .map(|error| (error.span().unwrap_or_default().start, error.message()))
        .collect();
    starts.sort_unstable();
    let mut last_line = 0;
    for (start, message) in starts {
        let line = Text(text).line(&(start..start));
        if line == last_line {
            continue;
        }
        last_line = line;
        let before = text.get(..start).unwrap_or(text);
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        problems.push(Problem {
            line,
            key: String::new(),
            // The parser ends some of its messages so where nothing at all can be right.
            message: format!(
                "column {column}: not TOML: {}",
                message.trim_end_matches(", expected nothing")
            ),
        });
    }
}

/// A table of the document. Keys are taken from it one by one; what is left at the end is unknown.
pub struct Section<'a> {
    text: Text<'a>,
    place: Place,
    table: DeTable<'a>,
    known: Vec<&'static str>,
}

/// A value and where it stands.
pub struct Value<'a> {
    text: Text<'a>,
    /// Where.
    pub place: Place,
    toml: DeValue<'a>,
}

impl<'a> Section<'a> {
    pub fn new(text: Text<'a>, place: Place, table: DeTable<'a>) -> Self {
        Self {
            text,
            place,
            table,
            known: Vec::new(),
        }
    }

    /// Where the section starts.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The place of a key that is not there.
    pub fn missing(&self, key: &str) -> Place {
        Place {
            line: self.place.line,
            key: join(&self.place.key, key),
        }
    }

    /// Takes a key out, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        let path = join(&self.place.key, key);
        Some(Value::new(self.text, path, value))
    }

    /// Takes a key that must be there.
    pub fn require(
        &mut self,
        key: &'static str,
        wanted: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Value<'a>> {
        let value = self.take(key);
        if value.is_none() {
            self.missing(key)
                .problem(problems, format!("missing; {wanted} is needed"));
        }
        value
    }

    /// Notes every key that nobody has asked for.
    pub fn finish(self, problems: &mut Vec<Problem>) {
        for (key, _) in &self.table {
            let name: &str = key.get_ref();
            let nearest = self
                .known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, name), known))
                .min();
            let advice = match nearest {
                Some((distance, known)) if distance <= 1 + known.len() / 3 => {
                    format!("did you mean \"{known}\"?")
                }
                _ => format!("known here are {}", self.known.join(", ")),
            };
            Place {
                line: self.text.line(&key.span()),
                key: join(&self.place.key, name),
            }
            .problem(problems, format!("unknown key \"{name}\"; {advice}"));
        }
    }
}

impl<'a> Value<'a> {
    fn new(text: Text<'a>, key: String, value: Spanned<DeValue<'a>>) -> Self {
        let place = Place {
            line: text.line(&value.span()),
            key,
        };
        Self {
            text,
            place,
            toml: value.into_inner(),
        }
    }

    /// The value as it would be written, for messages.
    pub fn shown(&self) -> String {
        match &self.toml {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        }
    }

    /// Notes that the value is not what is wanted.
    pub fn not(&self, wanted: &str, problems: &mut Vec<Problem>) {
        self.place
            .problem(problems, format!("{} is not {wanted}", self.shown()));
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        self.toml.as_str()
    }

    /// A string that `parse` makes something of. `wanted` says what would be right.
    pub fn parsed<T>(
        &self,
        wanted: &str,
        problems: &mut Vec<Problem>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = self.text().and_then(parse);
        if parsed.is_none() {
            self.not(wanted, problems);
        }
        parsed
    }

    /// A whole number within `range`.
    pub fn number(
        &self,
        range: Range<u64>,
        wanted: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<u64> {
        let number = self.integer().filter(|number| range.contains(number));
        if number.is_none() {
            self.not(wanted, problems);
        }
        number
    }

    /// A whole number that is not negative, if that is what it is.
    pub fn integer(&self) -> Option<u64> {
        let number = self.toml.as_integer()?;
        u64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// `true` or `false`.
    pub fn flag(&self, problems: &mut Vec<Problem>) -> Option<bool> {
        let flag = self.toml.as_bool();
        if flag.is_none() {
            self.not("true or false", problems);
        }
        flag
    }

    /// A table.
    pub fn section(self, problems: &mut Vec<Problem>) -> Option<Section<'a>> {
        if !matches!(self.toml, DeValue::Table(_)) {
            self.not("a table", problems);
            return None;
        }
        match self.toml {
            DeValue::Table(table) => Some(Section::new(self.text, self.place, table)),
            _ => None,
        }
    }

    /// The values of a list.
    pub fn list(self, wanted: &str, problems: &mut Vec<Problem>) -> Option<Vec<Self>> {
        if !matches!(self.toml, DeValue::Array(_)) {
            self.not(wanted, problems);
            return None;
        }
        let DeValue::Array(list) = self.toml else {
            return None;
        };
        let values = list
            .into_iter()
            .enumerate()
            .map(|(index, value)| {
                Self::new(self.text, format!("{}[{index}]", self.place.key), value)
            })
            .collect();
        Some(values)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
