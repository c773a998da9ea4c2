//! What each file is expected to do, and why it does not do more.

use crate::user::User;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The expectations of all files, by directory and name.
///
/// A file that is listed must be there, and pass as it says. One that is not listed is run all the
/// same, and nothing in it may fail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Expectations(BTreeMap<String, BTreeMap<String, Expected>>);

/// What one file is expected to do. By default: pass whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Expected {
    /// Why it is not run.
    pub skip: Option<String>,
    /// What its instructions ask of the person before the page.
    pub user: User,
    /// Tests that do not pass, by name, and why.
    pub misses: BTreeMap<String, String>,
    /// More of them, by the reason that they share.
    pub because: BTreeMap<String, Vec<String>>,
    /// Tests that pass or do not, as time has it, by the reason that they share. They are run, and do
    /// not count as passed unless they do.
    pub flaky: BTreeMap<String, Vec<String>>,
    /// Why the harness itself does not come to a good end, if it does not.
    pub harness: Option<String>,
}

/// The expectations are not written well.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationsError {
    /// Not TOML, or not of the right form.
    #[error("expectations: {0}")]
    Form(#[from] toml::de::Error),
    /// A miss or a skip that does not say why.
    #[error("expectations: {0} is excused without a reason")]
    NoReason(String),
    /// A test that is excused in two places.
    #[error("expectations: {0} excuses \"{1}\" twice")]
    Twice(String, String),
}

impl Expected {
    /// Why a test of that name is expected not to pass.
    pub fn miss(&self, test: &str) -> Option<&str> {
        let named = self.misses.get(test);
        named
            .map(String::as_str)
            .or_else(|| reason(&self.because, test))
    }

    /// Why nothing is expected of a test of that name.
    pub fn flaky(&self, test: &str) -> Option<&str> {
        reason(&self.flaky, test)
    }

    /// The tests that are expected not to pass.
    pub fn missed(&self) -> impl Iterator<Item = &str> {
        let because = self.because.values().flatten();
        self.misses.keys().chain(because).map(String::as_str)
    }

    /// All reasons for anything not to pass.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        let of_tests = self.misses.values().chain(self.because.keys());
        let of_tests = of_tests.chain(self.flaky.keys());
        let of_file = self.skip.iter().chain(&self.harness);
        of_tests.chain(of_file).map(String::as_str)
    }

    fn excused(&self) -> impl Iterator<Item = &str> {
        let flaky = self.flaky.values().flatten().map(String::as_str);
        self.missed().chain(flaky)
    }
}

fn reason<'a>(by_reason: &'a BTreeMap<String, Vec<String>>, test: &str) -> Option<&'a str> {
    let names = |names: &Vec<String>| names.iter().any(|name| name == test);
    let found = by_reason.iter().find(|(_, tests)| names(tests));
    found.map(|(reason, _)| reason.as_str())
}

impl Expectations {
    /// Those that stand beside this crate.
    ///
    /// # Errors
    /// As [`Expectations::parse`].
    pub fn built_in() -> Result<Self, ExpectationsError> {
        Self::parse(include_str!("../expectations.toml"))
    }

    /// Reads expectations.
    ///
    /// # Errors
    /// [`ExpectationsError`]: of a wrong form, or an excuse without a reason.
    pub fn parse(text: &str) -> Result<Self, ExpectationsError> {
        let all: Expectations = toml::from_str(text)?;
        for (directory, files) in &all.0 {
            for (name, expected) in files {
                let path = || format!("{directory}/{name}");
                if expected.reasons().any(|reason| reason.trim().is_empty()) {
                    return Err(ExpectationsError::NoReason(path()));
                }
                let mut names = BTreeSet::new();
                if let Some(twice) = expected.excused().find(|name| !names.insert(*name)) {
                    return Err(ExpectationsError::Twice(path(), twice.into()));
                }
            }
        }
        Ok(all)
    }

    /// The directories that there are expectations of.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The paths of the files that are listed.
    pub fn files(&self) -> impl Iterator<Item = String> + '_ {
        let files = self.0.iter();
        files.flat_map(|(directory, files)| {
            files.keys().map(move |name| format!("{directory}/{name}"))
        })
    }

    /// What is expected of the file at that path.
    pub fn of(&self, path: &str) -> Expected {
        let found = path
            .rsplit_once('/')
            .and_then(|(directory, name)| self.0.get(directory)?.get(name));
        found.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::Device;

    #[test]
    fn a_file_is_expected_to_pass_unless_it_says_why_not() {
        let text = "[media.\"a.html\"]\n[media.\"b.html\"]\nuser = { deny = [\"camera\"] }\n\
            [media.\"b.html\".misses]\n\"a test\" = \"a reason\"\n\
            [media.\"c.html\"]\nskip = \"wants a page\"";
        let all = Expectations::parse(text).unwrap();
        assert_eq!(all.directories().collect::<Vec<_>>(), ["media"]);
        assert_eq!(all.files().count(), 3);
        assert_eq!(all.of("media/a.html"), Expected::default());
        assert_eq!(all.of("media/none.html"), Expected::default());
        let b = all.of("media/b.html");
        assert_eq!(b.user.deny, [Device::Camera]);
        assert_eq!(b.miss("a test"), Some("a reason"));
    }

    #[test]
    fn tests_may_share_a_reason() {
        let text = "[m.\"a.html\".because]\n\"no codec\" = [\"one\", \"two\"]\n\
            [m.\"a.html\".flaky]\n\"a race\" = [\"three\"]";
        let a = Expectations::parse(text).unwrap().of("m/a.html");
        assert_eq!(a.miss("two"), Some("no codec"));
        assert_eq!((a.miss("three"), a.flaky("three")), (None, Some("a race")));
        assert_eq!(a.missed().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(a.reasons().collect::<Vec<_>>(), ["no codec", "a race"]);
    }

    #[test]
    fn an_excuse_wants_a_reason_and_a_key_must_be_known() {
        for text in [
            "[m.\"a.html\"]\nskip = \" \"",
            "[m.\"a.html\".misses]\n\"a test\" = \"\"",
            "[m.\"a.html\".flaky]\n\"\" = [\"a test\"]",
            "[m.\"a.html\".because]\n\"x\" = [\"a\"]\n\"y\" = [\"a\"]",
            "[m.\"a.html\"]\nskipp = \"x\"",
            "[m.\"a.html\"]\nuser = { deny = [\"screen\"] }",
        ] {
            assert!(Expectations::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ours_are_well_formed() {
        Expectations::built_in().unwrap();
    }
}
