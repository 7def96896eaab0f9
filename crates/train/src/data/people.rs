//! Whose the records are, where a person has several: what is drawn, clipped and protected is then a person.
//!
//! A person takes part in a step with the mean gradient of at most `most` records, chosen by coins of the person's own
//! where there are more (McMahan et al. 2018, arXiv 1710.06963; Charles et al. 2024, arXiv 2407.07737). Every person takes
//! the place of `most` records in a batch: what is missing is the first record once more, with a share of 0.
//!
//! # Why this is private
//! *Claim.* What a person adds to a sum depends on that person's own records, public numbers, and coins of the key; without
//! the person nobody else's records, shares, coins or places change, as long as the others keep their numbers.
//! *Argument.* Samplers draw numbers of people. Which records come with a number, and their shares, are functions of that
//! person's list, the step's stream and the person's own number. The mean is of the records that take part, not of those that
//! the person has, and is clipped as one vector: its length does not hang on how many there are. `most` is public, and so are all
//! shapes. Ids are numbered while a file is read, and forgotten with the reader: nothing keeps, prints or compares them later.
//! *Tests.* `a_choice_is_of_the_persons_own_records`, `every_record_is_chosen_as_often`; `tests/people.rs`, `tests/authors.rs`.
use super::{DataError, Examples, Promise, encode::Problem, table::Table};
use crate::report::Person;
use ::csv::ByteRecord;
use privacy::Stream;
use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    path::Path,
};

/// A person takes the place of at most so many records.
const MOST: usize = 4096;

/// The records of each person.
pub(super) struct People {
    /// Numbers of records, person by person, in the order of the data.
    records: Vec<u32>,
    /// Where each person's begin, and the end of the last.
    starts: Vec<usize>,
    most: usize,
}

/// Records that take part, and how much each of them counts.
pub(crate) struct TakingPart {
    /// Their numbers, as many for every unit.
    pub records: Vec<usize>,
    /// Whose coins each of them flips: a number that hangs on its unit's own number, and on which of its records it is.
    pub coins: Vec<usize>,
    /// Where units are people: how many places each has, and the share of each place in its person's mean.
    pub shares: Option<(usize, Vec<f32>)>,
}

impl TakingPart {
    /// With `many` copies of each record, which share what it counts and have coins of their own.
    pub fn copied(self, many: usize) -> TakingPart {
        if many == 1 {
            return self;
        }
        let (each, shares) = self.shares.unwrap_or_else(|| (1, vec![1.0; self.records.len()]));
        let shared = shares.into_iter().flat_map(|share| std::iter::repeat_n(share / many as f32, many)).collect();
        TakingPart {
            records: self.records.into_iter().flat_map(|record| std::iter::repeat_n(record, many)).collect(),
            coins: self.coins.into_iter().flat_map(|coin| coin * many..(coin + 1) * many).collect(),
            shares: Some((each * many, shared)),
        }
    }

    /// The mean of each unit's numbers, from one number a record. A place without a share adds nothing, whatever its number is.
    pub fn means(&self, numbers: Vec<f32>) -> Vec<f32> {
        let Some((each, shares)) = &self.shares else { return numbers };
        let counted = |(x, share): (&f32, &f32)| if *share == 0.0 { 0.0 } else { x * share };
        let mean = |(x, shares): (&[f32], &[f32])| x.iter().zip(shares).map(counted).sum();
        numbers.chunks(*each).zip(shares.chunks(*each)).map(mean).collect()
    }
}

impl People {
    /// Groups records by equal numbers in `person`, in the order in which people first come up.
    ///
    /// # Errors
    /// If `most` is 0 or beyond all reason, or if there are too many records.
    pub fn new(person: &[u64], most: usize) -> Result<People, DataError> {
        check_most(most)?;
        let many = |_| DataError::config("train", "holds more than 2^32 records");
        u32::try_from(person.len()).map_err(many)?;
        let mut numbers = HashMap::new();
        let mut lists: Vec<Vec<u32>> = Vec::new();
        for (record, id) in person.iter().enumerate() {
            let number = *numbers.entry(id).or_insert(lists.len());
            if number == lists.len() {
                lists.push(Vec::new());
            }
            lists[number].push(record as u32);
        }
        let starts = lists.iter().scan(0, |end, list| {
            *end += list.len();
            Some(*end)
        });
        Ok(People { starts: std::iter::once(0).chain(starts).collect(), records: lists.concat(), most })
    }

    /// How many people; as private as the data.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Records that a person takes the place of; public.
    pub fn most(&self) -> usize {
        self.most
    }

    /// The records with which each of `who` takes part in the step that `stream` belongs to.
    ///
    /// # Panics
    /// If a number is not below [`People::len`].
    pub fn taking_part(&self, who: &[usize], stream: &Stream) -> TakingPart {
        let (mut records, mut coins, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for person in who {
            let chosen = self.chosen(*person, stream);
            let (first, missing) = (chosen[0], self.most - chosen.len());
            shares.extend(chosen.iter().map(|_| 1.0 / chosen.len() as f32));
            shares.extend(std::iter::repeat_n(0.0, missing));
            // What fills up is the first record, coins and all.
            let own = (0..chosen.len()).chain(std::iter::repeat_n(0, missing));
            coins.extend(own.map(|place| person * self.most + place));
            records.extend(chosen.into_iter().chain(std::iter::repeat_n(first, missing)));
        }
        // With one place each a mean is the gradient itself.
        TakingPart { records, coins, shares: (self.most > 1).then_some((self.most, shares)) }
    }

    /// At most `most` of a person's records, in order: each set of so many with the same probability (Floyd's method).
    fn chosen(&self, person: usize, stream: &Stream) -> Vec<usize> {
        let own = &self.records[self.starts[person]..self.starts[person + 1]];
        if own.len() <= self.most {
            return own.iter().map(|record| *record as usize).collect();
        }
        let mut places: Vec<usize> = Vec::with_capacity(self.most);
        for k in 0..self.most {
            let last = own.len() - self.most + k;
            let word = stream.word((person * self.most + k) as u64);
            let place = ((u128::from(word) * (last as u128 + 1)) >> 64) as usize;
            places.push(if places.contains(&place) { last } else { place });
        }
        places.sort_unstable();
        places.into_iter().map(|place| own[place] as usize).collect()
    }
}

/// Who has which records, and how many take part.
impl Hash for People {
    fn hash<H: Hasher>(&self, hash: &mut H) {
        (&self.records, &self.starts, self.most).hash(hash);
    }
}

fn check_most(most: usize) -> Result<(), DataError> {
    let problem = format!("must be from 1 to {MOST}: a person takes the place of so many records");
    (1..=MOST).contains(&most).then_some(()).ok_or_else(|| DataError::config("per_person", problem))
}

/// The column that tells people apart and the number of places of each, as two keys of a declaration say.
///
/// # Errors
/// If one is there without the other, or makes no sense.
pub(super) fn declared(person: Option<&str>, per_person: Option<usize>) -> Result<Option<(&str, usize)>, DataError> {
    match (person, per_person) {
        (None, None) => Ok(None),
        (Some(column), Some(most)) => check_most(most).map(|()| Some((column, most))),
        (Some(_), None) => {
            let problem = "must be given with `person`, such as 4: the public number of a person's records that at most take part \
                           in a step";
            Err(DataError::config("per_person", problem))
        }
        (None, Some(_)) => {
            let problem = "must be given with `per_person`: the column that tells people apart";
            Err(DataError::config("person", problem))
        }
    }
}

/// Whose each row of one file is: ids as they come up become numbers.
pub(super) struct Ids<'a> {
    at: usize,
    column: &'a str,
    missing: Option<&'a [u8]>,
    numbers: HashMap<Vec<u8>, u64>,
    /// The person of each row.
    pub of: Vec<u64>,
}

impl<'a> Ids<'a> {
    /// Finds the declared column.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(column: &'a str, missing: Option<&'a str>, table: &Table) -> Result<Self, DataError> {
        let missing = missing.map(|mark| mark.trim_ascii().as_bytes());
        Ok(Ids { at: table.find(column)?, column, missing, numbers: HashMap::new(), of: Vec::new() })
    }

    /// Takes one row.
    pub fn row(&mut self, row: &ByteRecord) -> Result<(), Problem<'a>> {
        let id = super::encode::cell(row, self.at);
        if id.is_empty() || Some(id) == self.missing {
            let text = "says nobody; every row is somebody's: mend or drop the row where the file is made";
            return Err(Problem { column: self.column, text: text.to_owned() });
        }
        let next = self.numbers.len() as u64;
        self.of.push(*self.numbers.entry(id.to_vec()).or_insert(next));
        Ok(())
    }

    /// How many people came up.
    pub fn people(&self) -> usize {
        self.numbers.len()
    }

    /// Takes the rows of the last `count` people to come up away, who are in no file from then on.
    pub fn hold_out(&mut self, count: usize) -> Self {
        let rest = (self.numbers.len() - count) as u64;
        let (held, kept) = self.of.iter().partition(|person| **person >= rest);
        self.of = kept;
        Ids { numbers: HashMap::new(), of: held, ..*self }
    }
}

/// Rows as their people's, where it was asked whose they are.
///
/// # Errors
/// None for what was [`declared`].
pub(super) fn grouped<'a>(
    examples: Examples,
    ids: Option<Ids<'a>>,
    per_person: Option<usize>,
) -> Result<(Examples, Option<Ids<'a>>), DataError> {
    let examples = match ids.as_ref().zip(per_person) {
        Some((ids, most)) => examples.by_person(&ids.of, most)?,
        None => examples,
    };
    Ok((examples, ids))
}

/// For whoever runs this alone: that somebody has rows that are private and rows that are public.
pub(super) fn in_both(private: &Ids, public: &Ids) -> Option<String> {
    let both = private.numbers.keys().any(|id| public.numbers.contains_key(id));
    both.then(|| {
        "somebody with rows in the training data has rows in the test data, too: those are declared public and not protected, and make scores \
         better than they are for people who are new"
            .to_owned()
    })
}

/// What holds where people are told apart by a column, with so many records at most in a step.
pub(super) fn promise(declared: Option<(&str, usize)>) -> Option<Promise> {
    let (column, most) = declared?;
    let records = if most == 1 { "record".to_owned() } else { format!("{most} records") };
    let assumption = format!(
        "Whatever the training data say of a person stands in rows with one value of `{column}`, and those rows say nothing of others; somebody \
         with k values is protected k times less (as a group). In a step a person's part is the mean gradient of at most {records}, clipped as a whole."
    );
    Some(Promise {
        unit: format!("one person: all rows of the training data with one value of `{column}`"),
        person: Some(Person { column: column.to_owned(), records: most as u64 }),
        assumptions: vec![assumption],
        warnings: Vec::new(),
    })
}

/// What holding out the last `count` people of a file of private records claims, if any are.
pub(super) fn held_out(count: usize, column: &str, file: &Path) -> Option<String> {
    let file = file.display();
    (count > 0).then(|| {
        format!(
            "All records of the last {count} values of `{column}` to come up for the first time in {file}, wherever they stand, are held out to \
             evaluate on and are public; all others' are not."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use privacy::{Key, Purpose};

    fn stream(step: u64) -> Stream {
        Key::from_seed(5).stream(Purpose::Records, step, 0)
    }

    #[test]
    fn records_are_grouped_in_the_order_of_people() {
        let people = People::new(&[70, 3, 70, 9, 3, 70], 2).unwrap();
        assert_eq!(
            (people.len(), &people.records[..], &people.starts[..]),
            (3, &[0, 2, 5, 1, 4, 3][..], &[0, 3, 5, 6][..])
        );
        let TakingPart { records, coins, shares } = people.taking_part(&[1, 2], &stream(0));
        assert_eq!((records, coins), (vec![1, 4, 3, 3], vec![2, 3, 4, 4]));
        assert_eq!(shares, Some((2, vec![0.5, 0.5, 1.0, 0.0])));
    }

    /// A choice is the same whoever else is there and whatever their records are called, and of the person's own.
    #[test]
    fn a_choice_is_of_the_persons_own_records() {
        let many: Vec<u64> = (0..300).map(|i| i % 7).collect();
        let few: Vec<u64> = many.iter().copied().filter(|id| *id < 6).collect();
        let (with, without) = (People::new(&many, 4).unwrap(), People::new(&few, 4).unwrap());
        for step in 0..50 {
            for person in 0..6 {
                let own = |people: &People, of: &[u64]| {
                    let records = people.taking_part(&[person], &stream(step)).records;
                    assert!(
                        records.iter().all(|record| of[*record] == person as u64) && records.is_sorted_by(|a, b| a < b)
                    );
                    let first = people.starts[person];
                    let place = |r: &usize| people.records[first..].iter().position(|own| *own as usize == *r).unwrap();
                    records.iter().map(place).collect::<Vec<_>>()
                };
                assert_eq!(own(&with, &many), own(&without, &few), "step {step}, person {person}");
            }
        }
    }

    /// Of 9 records 3 take part: each of the 84 sets as often, by a chi-square test of 83 degrees of freedom, which exceeds 140
    /// with probability 1e-4.
    #[test]
    fn every_record_is_chosen_as_often() {
        let people = People::new(&[0; 9], 3).unwrap();
        let (mut counts, steps) = (HashMap::new(), 84_000);
        (0..steps).for_each(|step| *counts.entry(people.taking_part(&[0], &stream(step)).records).or_insert(0u64) += 1);
        let expected = steps as f64 / 84.0;
        let chi: f64 = counts.values().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
        assert!(counts.len() == 84 && chi < 140.0, "{} sets, chi-square {chi}", counts.len());
    }

    #[test]
    fn means_forget_places_without_a_share() {
        let part = TakingPart { records: vec![], coins: vec![], shares: Some((3, vec![0.5, 0.5, 0.0, 1.0, 0.0, 0.0])) };
        assert_eq!(part.means(vec![1.0, 3.0, f32::NAN, 7.0, f32::INFINITY, 2.0]), [2.0, 7.0]);
        assert_eq!(TakingPart { records: vec![], coins: vec![], shares: None }.means(vec![4.0]), [4.0]);
    }

    #[test]
    fn keys_that_do_not_go_together_are_named() {
        let said = |person, most| declared(person, most).unwrap_err().to_string();
        assert!(said(Some("id"), None).contains("data.per_person") && said(None, Some(3)).contains("data.person"));
        assert!(
            said(Some("id"), Some(0)).contains("from 1 to 4096") && said(Some("id"), Some(1 << 40)).contains("4096")
        );
        assert_eq!(declared(Some("id"), Some(3)).unwrap(), Some(("id", 3)));
    }
}
