//! Writes the table of files that the server carries: `../web-client/dist` if it has been built,
//! else the page in `placeholder/`, which says how to build it.
//!
//! What this deliberately is not: it builds no web client. That takes Node, and a network.

use std::env;
use std::fmt::Write;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
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
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets it"));

    let built = here.join("../web-client/dist");
    let files = match read(&built) {
        Ok(files) if files.iter().any(|(path, _)| path == "/index.html") => files,
        Err(error) if built.is_dir() => {
            println!(
                "cargo::warning=web-client/dist changes while it is read, so it is left out: {error}"
            );
            placeholder(&here)
        }
        _ => placeholder(&here),
    };
    write(files, &out).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

fn placeholder(here: &Path) -> Vec<(String, Vec<u8>)> {
    read(&here.join("placeholder")).unwrap_or_else(|error| panic!("signaling/placeholder: {error}"))
}

/// Every file below a folder, by its path there with a slash in front.
fn read(root: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .expect("found below it")
                    .to_string_lossy();
                files.push((format!("/{}", name.replace('\\', "/")), fs::read(&path)?));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Keeps a copy beside the table: the originals may be built anew while this crate compiles.
fn write(files: Vec<(String, Vec<u8>)>, out: &Path) -> io::Result<()> {
    let mut table = String::from("&[\n");
    for (index, (path, bytes)) in files.into_iter().enumerate() {
        let copy = out.join(format!("asset-{index}"));
        fs::write(&copy, &bytes)?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        let copy = copy.to_string_lossy();
        writeln!(
            table,
            "Asset {{ path: {path:?}, etag: {etag:?}, bytes: include_bytes!({copy:?}) }},"
        )
        .expect("writing to a String cannot fail");
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)
}
