//! The sources as the compiler walks them: from a crate's root along its `mod` lines, modules of tests left out.
//!
//! **In**: the workspace. **Out**: every [`Module`] with the names in it that lead elsewhere ([`crate::names`]).

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use syn::{Attribute, Item, Meta};

use crate::names::{Names, names};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A file of a crate, and what its code names.
pub struct Module {
    /// The crate without `masv-`; `agent` for the root package.
    pub package: String,
    /// The names of the modules that lead to it, in its crate.
    pub path: Vec<String>,
    /// The file, from the root of the repository on.
    pub file: String,
    pub names: Names,
}

/// A crate of the workspace, as reported by `cargo metadata`.
pub struct Package {
    /// Without `masv-`.
    pub name: String,
    /// The crates of the workspace that it is built from, without `masv-`.
    pub uses: Vec<String>,
    root: PathBuf,
}

/// All crates of the workspace.
pub fn packages() -> Vec<Package> {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(ROOT);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = told["packages"].as_array().unwrap().iter().map(|package| {
        let library = package["targets"].as_array().unwrap().iter().find(|target| {
            let kinds = target["kind"].as_array().unwrap();
            kinds.iter().any(|kind| kind == "lib")
        });
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        Package {
            name: short(package["name"].as_str().unwrap()).unwrap(),
            uses: dependencies
                .filter(|dependency| dependency["kind"].is_null())
                .filter_map(|dependency| short(dependency["name"].as_str().unwrap()))
                .collect(),
            root: library.unwrap()["src_path"].as_str().unwrap().into(),
        }
    });
    packages.collect()
}

/// What is left of a crate's name, written either way, without `masv`. `None`: it is not one of ours.
pub fn short(name: &str) -> Option<String> {
    name.strip_prefix("masv-").or_else(|| name.strip_prefix("masv_")).map(str::to_owned)
}

/// Every module of the workspace but those of tests.
pub fn modules() -> &'static [Module] {
    static ALL: LazyLock<Vec<Module>> = LazyLock::new(|| {
        let mut found = Vec::new();
        packages().iter().for_each(|package| walk(package, &package.root, &[], &mut found));
        found
    });
    &ALL
}

fn walk(package: &Package, file: &Path, module: &[String], found: &mut Vec<Module>) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let names = names(&parsed, &package.name, module);
    let shown = file.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
    found.push(Module { package: package.name.clone(), path: module.to_vec(), file: shown, names });
    let folder = match file.file_stem().unwrap().to_str().unwrap() {
        "lib" | "mod" => file.parent().unwrap().to_owned(),
        stem => file.with_file_name(stem),
    };
    descend(package, &parsed.items, &folder, module, found);
}

fn descend(package: &Package, items: &[Item], folder: &Path, module: &[String], found: &mut Vec<Module>) {
    for item in items {
        let Item::Mod(item) = item else { continue };
        if is_for_tests(&item.attrs) {
            continue;
        }
        let name = item.ident.to_string();
        assert!(!item.attrs.iter().any(|attribute| attribute.path().is_ident("path")), "{name} is not where it seems");
        let module = [module, std::slice::from_ref(&name)].concat();
        match &item.content {
            Some((_, items)) => descend(package, items, &folder.join(&name), &module, found),
            None => {
                let flat = folder.join(format!("{name}.rs"));
                let file = if flat.is_file() { flat } else { folder.join(name).join("mod.rs") };
                walk(package, &file, &module, found);
            }
        }
    }
}

/// Whether an item is compiled for tests only.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test" || condition.replace(' ', "").starts_with("all(test,")
        }
        Meta::Path(path) => path.is_ident("test"),
        _ => false,
    })
}
