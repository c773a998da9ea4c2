//! Test files as web-platform-tests has them: <https://web-platform-tests.org/writing-tests/testharness.html>.
//!
//! What is read: the scripts of a page, in their order, and the policy headers that its server would
//! send. What is not: any other markup. A page that needs it cannot run here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A checkout of web-platform-tests.
#[derive(Clone, Debug)]
pub struct Checkout {
    root: PathBuf,
}

/// A test file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFile {
    /// Its path within the checkout.
    pub path: String,
    /// What it runs, the harness first.
    pub scripts: Vec<Script>,
    /// Whether it asks for more time than others.
    pub long: bool,
    /// The features that its headers forbid: `camera`, `microphone`.
    pub forbidden: Vec<String>,
}

/// A script of a test file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Where it stands, for messages.
    pub name: String,
    /// Its text.
    pub source: String,
}

impl Script {
    /// Whether it is the harness.
    pub(crate) fn is_harness(&self) -> bool {
        self.name == HARNESS
    }
}

impl TestFile {
    /// Whether its server would be reached over HTTPS, by its name.
    pub fn is_secure(&self) -> bool {
        self.path.contains(".https.")
    }

    /// Whether it takes a stream from a canvas, and so wants a document that makes one.
    pub fn draws(&self) -> bool {
        let captures = |script: &Script| script.source.contains(".captureStream(");
        self.scripts.iter().any(captures)
    }
}

impl Checkout {
    /// The checkout at `root`.
    ///
    /// # Errors
    /// If there is no `resources/testharness.js` below it.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::metadata(root.join(HARNESS))
            .map_err(|error| io::Error::new(error.kind(), format!("{HARNESS}: {error}")))?;
        Ok(Checkout { root })
    }

    /// The test files of a directory, sorted.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.root.join(directory))? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| is_test(name)) {
                files.push(format!("{directory}/{name}"));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Reads a test file and all its scripts.
    ///
    /// # Errors
    /// If it, or a script that it names, is not there.
    pub fn read(&self, path: &str) -> io::Result<TestFile> {
        let text = self.text(path)?;
        let mut file = TestFile {
            path: path.into(),
            scripts: Vec::new(),
            long: false,
            forbidden: self.forbidden(path),
        };
        if path.ends_with(".js") {
            file.scripts.push(self.script(HARNESS)?);
            for (key, value) in text.lines().map_while(meta) {
                match (key, value) {
                    ("script", source) => file.scripts.push(self.script(&resolve(path, source))?),
                    ("timeout", "long") => file.long = true,
                    _ => {}
                }
            }
            file.scripts.push(Script {
                name: path.into(),
                source: text,
            });
            return Ok(file);
        }
        file.long = text.contains("content=long") || text.contains("content=\"long\"");
        for (line, found) in scripts(&text) {
            match found {
                Found::Inline(source) => file.scripts.push(Script {
                    name: format!("{path}:{line}"),
                    source: source.into(),
                }),
                // It reports to a runner of browsers; ours asks the harness itself.
                Found::Linked(source) if source.ends_with("/testharnessreport.js") => {}
                Found::Linked(source) => file.scripts.push(self.script(&resolve(path, source))?),
            }
        }
        Ok(file)
    }

    /// A file's text by its absolute URL path, as a page would fetch it.
    pub fn fetch(&self, url: &str) -> Option<String> {
        let path = url.strip_prefix('/')?;
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        path.split('/').all(plain).then_some(())?;
        self.text(path).ok()
    }

    fn text(&self, path: &str) -> io::Result<String> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
        let path = match path {
            // The tests' own server has it under this name.
            "resources/WebIDLParser.js" => "resources/webidl2/lib/webidl2.js",
            path => path,
        };
        fs::read_to_string(self.root.join(path)).map_err(named)
    }

    fn script(&self, path: &str) -> io::Result<Script> {
        Ok(Script {
            name: path.into(),
            source: self.text(path)?,
        })
    }

    /// `Feature-Policy: camera 'none'` and its successor `Permissions-Policy: camera=()`.
    fn forbidden(&self, path: &str) -> Vec<String> {
        let headers = self.text(&format!("{path}.headers")).unwrap_or_default();
        let values = headers.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let policy = ["feature-policy", "permissions-policy"];
            let name = name.trim().to_ascii_lowercase();
            policy.contains(&name.as_str()).then_some(value)
        });
        let directives = values.flat_map(|value| value.split([',', ';']));
        directives
            .filter_map(|directive| {
                let directive = directive.trim();
                let feature = directive
                    .strip_suffix("=()")
                    .or_else(|| directive.strip_suffix(" 'none'"))?;
                Some(feature.trim().to_string())
            })
            .collect()
    }
}

const HARNESS: &str = "resources/testharness.js";

fn is_test(name: &str) -> bool {
    let page = Path::new(name).extension().is_some_and(|ext| ext == "html");
    page || name.ends_with(".window.js") || name.ends_with(".any.js")
}

/// The key and value of a `// META: key=value` line.
fn meta(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().strip_prefix("// META:")?.split_once('=')?;
    Some((key.trim(), value.trim()))
}

/// A path within the checkout, of what a test file at `path` calls `source`.
fn resolve(path: &str, source: &str) -> String {
    match source.strip_prefix('/') {
        Some(absolute) => absolute.into(),
        None => match path.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{source}"),
            None => source.into(),
        },
    }
}

enum Found<'a> {
    Inline(&'a str),
    Linked(&'a str),
}

/// The script elements of a page and the lines on which they begin.
fn scripts(page: &str) -> Vec<(usize, Found<'_>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(open) = page[from..].find("<script").map(|at| from + at) {
        let Some(body) = page[open..].find('>').map(|at| open + at + 1) else {
            break;
        };
        let Some(close) = page[body..].find("</script").map(|at| body + at) else {
            break;
        };
        let line = page[..body].lines().count().max(1);
        let script = match attribute(&page[open..body - 1], "src") {
            Some(source) => Found::Linked(source),
            None => Found::Inline(&page[body..close]),
        };
        found.push((line, script));
        from = close;
    }
    found
}

/// The value of an attribute of a start tag, quoted or not.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let at = tag.find(&format!(" {name}="))?;
    let value = &tag[at + name.len() + 2..];
    match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next(),
        _ => value.split([' ', '\t', '\n']).next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout(files: &[(&str, &str)]) -> (tempfile::TempDir, Checkout) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in [(HARNESS, "harness()")].iter().chain(files) {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let checkout = Checkout::open(directory.path()).unwrap();
        (directory, checkout)
    }

    fn sources(file: &TestFile) -> Vec<&str> {
        file.scripts.iter().map(|s| s.source.as_str()).collect()
    }

    #[test]
    fn a_pages_scripts_come_in_their_order() {
        let page = "<!doctype html>\n<meta name=timeout content=long>\n\
            <script src=/resources/testharness.js></script>\n\
            <script src=\"/resources/testharnessreport.js\"></script>\n\
            <script src='helper.js'></script>\n<script>\nlet a = 1 < 2;\n</script>";
        let (_directory, checkout) =
            checkout(&[("media/a.https.html", page), ("media/helper.js", "help()")]);
        let file = checkout.read("media/a.https.html").unwrap();
        assert_eq!(
            sources(&file),
            ["harness()", "help()", "\nlet a = 1 < 2;\n"]
        );
        assert_eq!(file.scripts[2].name, "media/a.https.html:6");
        assert!(file.long && file.is_secure());
        assert_eq!(checkout.list("media").unwrap(), ["media/a.https.html"]);
    }

    #[test]
    fn a_scripts_metadata_names_what_it_needs() {
        let script = "// META: script=/resources/more.js\n// META: timeout=long\n\ntest();";
        let (_directory, checkout) =
            checkout(&[("a.window.js", script), ("resources/more.js", "more()")]);
        let file = checkout.read("a.window.js").unwrap();
        assert_eq!(sources(&file), ["harness()", "more()", script]);
        assert!(file.long && !file.is_secure());
    }

    #[test]
    fn a_missing_file_is_named() {
        let (_directory, checkout) = checkout(&[("a.html", "<script src=gone.js></script>")]);
        let error = checkout.read("a.html").unwrap_err();
        assert!(error.to_string().contains("gone.js"), "{error}");
        assert!(Checkout::open("/nowhere").is_err());
    }

    #[test]
    fn headers_forbid_features() {
        let old = "Feature-Policy: camera 'none'\nFeature-Policy: microphone 'none'";
        let new = "Permissions-Policy: camera=(), geolocation=(self), microphone=()";
        for headers in [old, new] {
            let (_directory, checkout) = checkout(&[("a.html", ""), ("a.html.headers", headers)]);
            let file = checkout.read("a.html").unwrap();
            assert_eq!(file.forbidden, ["camera", "microphone"]);
        }
    }

    #[test]
    fn only_what_lies_in_the_checkout_is_fetched() {
        let (_directory, checkout) = checkout(&[("interfaces/dom.idl", "interface")]);
        assert_eq!(
            checkout.fetch("/interfaces/dom.idl").as_deref(),
            Some("interface")
        );
        for url in [
            "/../etc/passwd",
            "//etc/passwd",
            "interfaces/dom.idl",
            "/none",
        ] {
            assert_eq!(checkout.fetch(url), None, "{url}");
        }
    }
}
