//! Writes the table of files that the server carries: `../web-client/dist` if it has been built,
//! else the page in `placeholder/`, which says how to build it.
//!
//! What this deliberately is not: it builds no web client. That takes Node, and a network.

use std::env;
use std::fmt::Write;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

fn main() {
    // A path that does not exist makes Cargo ask again at each build, which is what it takes to
    // notice that the web client was built in the meantime.
    println!("cargo::rerun-if-changed=../web-client/dist");
    println!("cargo::rerun-if-changed=placeholder");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_SERVER").is_none() {
        return;
    }
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets it"));
    let built = here.join("../web-client/dist");
    let root = if built.join("index.html").is_file() {
        built
    } else {
        here.join("placeholder")
    };

    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();

    let mut table = String::from("&[\n");
    for file in files {
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let name = file
            .strip_prefix(&root)
            .expect("found below it")
            .to_string_lossy()
            .replace('\\', "/");
        let path = file
            .canonicalize()
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let etag = format!("\"{:016x}\"", hasher.finish());
        writeln!(
            table,
            "Asset {{ path: {:?}, etag: {etag:?}, bytes: include_bytes!({:?}) }},",
            format!("/{name}"),
            path.to_string_lossy(),
        )
        .expect("writing to a String cannot fail");
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets it")).join("assets.rs");
    fs::write(&out, table).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}
