//! Evidence that is complete, in little room: five thousand images have some fifty thousand questions.

use jiff::Timestamp;

use super::Noted;

/// Questions and answers. Each text is kept once, and of it only what differs from the beginning of the one before: the
/// places of one image begin alike.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    stages: Box<[&'static str]>,
    pieces: Box<str>,
    texts: Box<[Text]>,
    asked: Box<[Entry]>,
}

/// A text: so many bytes of the text before, and so many of the pieces.
#[derive(Debug, Clone, Copy)]
struct Text {
    shared: u32,
    own: u32,
}

/// A question and its answer, as numbers of texts.
#[derive(Debug, Clone)]
struct Entry {
    since: Option<Box<Timestamp>>,
    place: u16,
    answer: u16,
    stage: u8,
}

/// One question and its answer, as it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) stage: &'static str,
    pub(super) place: &'a str,
    pub(super) answer: &'a str,
    pub(super) since: Option<Timestamp>,
}

impl Closed {
    /// Packs what was noted; nothing where it is too much for that.
    pub(super) fn pack(noted: &[Noted]) -> Option<Self> {
        let mut stages: Vec<&'static str> = Vec::new();
        let mut texts: Vec<&str> = Vec::new();
        let asked = noted.iter().map(|noted| {
            Some(Entry {
                since: noted.since.map(Box::new),
                place: u16::try_from(number(&mut texts, &*noted.place)).ok()?,
                answer: u16::try_from(number(&mut texts, &*noted.answer)).ok()?,
                stage: u8::try_from(number(&mut stages, noted.stage)).ok()?,
            })
        });
        let asked = asked.collect::<Option<_>>()?;
        let mut before = "";
        let mut pieces = String::new();
        let packed = texts.into_iter().map(|text| {
            let shared = alike(before, text);
            pieces.push_str(&text[shared..]);
            before = text;
            Some(Text { shared: u32::try_from(shared).ok()?, own: u32::try_from(text.len() - shared).ok()? })
        });
        let texts = packed.collect::<Option<_>>()?;
        Some(Self { stages: stages.into(), pieces: pieces.into(), texts, asked })
    }

    /// Shows every question and its answer, in order.
    pub(super) fn each(&self, mut show: impl FnMut(Read<'_>)) {
        let mut all = String::with_capacity(2 * self.pieces.len());
        let mut places = Vec::with_capacity(self.texts.len());
        let (mut at, mut before) = (0, 0);
        for Text { shared, own } in &self.texts {
            let begin = all.len();
            all.extend_from_within(before..before + *shared as usize);
            all.push_str(&self.pieces[at..at + *own as usize]);
            places.push(begin..all.len());
            (at, before) = (at + *own as usize, begin);
        }
        for Entry { since, place, answer, stage } in &self.asked {
            show(Read {
                stage: self.stages[usize::from(*stage)],
                place: &all[places[usize::from(*place)].clone()],
                answer: &all[places[usize::from(*answer)].clone()],
                since: since.as_deref().copied(),
            });
        }
    }
}

/// The number of a value in a list, which it is added to where it is new.
fn number<T: PartialEq>(list: &mut Vec<T>, value: T) -> usize {
    list.iter().position(|known| *known == value).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    })
}

/// How many bytes two texts have in common at their beginning, whole characters only.
fn alike(one: &str, other: &str) -> usize {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
    same.map(|(one, _)| one.len_utf8()).sum()
}
