//! Which file of a crate imports which: names that are re-exported count for the file that defines
//! them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use syn::visit::Visit;
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

/// The modules of a crate by their path, `["data", "table"]` for `crate::data::table`.
pub(crate) struct Imports {
    modules: BTreeMap<Vec<String>, Module>,
}

/// What one file says.
#[derive(Default)]
struct Module {
    file: String,
    defines: HashSet<String>,
    uses: Vec<Use>,
}

/// A name that a file takes from elsewhere.
struct Use {
    path: Vec<String>,
    /// What it is called here; `*` for all names.
    name: String,
    is_public: bool,
}

impl Imports {
    /// Reads every file below a folder `src`.
    pub(crate) fn read(src: &Path) -> Self {
        let mut modules = BTreeMap::new();
        let mut folders = vec![src.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let local = path.strip_prefix(src).unwrap();
                if path.is_dir() {
                    if local != Path::new("bin") {
                        folders.push(path);
                    }
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let file = local.to_str().unwrap().replace('\\', "/");
                    modules.insert(module_path(&file), Module::parse(file, &text));
                }
            }
        }
        Self { modules }
    }

    /// Files by the files that they import.
    pub(crate) fn graph(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut graph: BTreeMap<String, BTreeSet<String>> =
            self.modules.values().map(|module| (module.file.clone(), BTreeSet::new())).collect();
        for (here, module) in &self.modules {
            if module.file.ends_with("error.rs") {
                continue;
            }
            for found in &module.uses {
                if found.is_public && is_front(&module.file) {
                    continue; // a folder's front door re-exports, it does not depend
                }
                let Some(target) = self.definition(here, found, &mut HashSet::new()) else {
                    continue;
                };
                let is_parent = here.split_last().is_some_and(|(_, parent)| *parent == target);
                let file = &self.modules[&target].file;
                if target != *here && !is_parent && file != "lib.rs" {
                    graph.get_mut(&module.file).unwrap().insert(file.clone());
                }
            }
        }
        graph
    }

    /// The module whose file defines what `found` names in the module `here`.
    fn definition(
        &self,
        here: &[String],
        found: &Use,
        seen: &mut HashSet<(Vec<String>, String)>,
    ) -> Option<Vec<String>> {
        let path = self.absolute(here, &found.path)?;
        let n = (0..=path.len()).rev().find(|&n| self.modules.contains_key(&path[..n]))?;
        let (home, rest) = path.split_at(n);
        let Some(name) = rest.first() else { return Some(home.to_owned()) };
        let module = &self.modules[home];
        if module.defines.contains(name) || !seen.insert((home.to_owned(), name.clone())) {
            return Some(home.to_owned());
        }
        for other in module.uses.iter().filter(|other| other.name == *name) {
            if let Some(target) = self.definition(home, other, seen) {
                return Some(target);
            }
        }
        for other in module.uses.iter().filter(|other| other.name == "*") {
            let target = self.definition(home, other, seen);
            if let Some(target) = target.filter(|at| self.modules[at].defines.contains(name)) {
                return Some(target);
            }
        }
        Some(home.to_owned())
    }

    /// A path from the crate's root, or none if it leads to another crate.
    fn absolute(&self, here: &[String], path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_owned()),
            "self" | "super" => {
                let n_up = path.iter().filter(|part| *part == "super").count();
                let rest =
                    path.iter().skip_while(|part| ["self", "super"].contains(&part.as_str()));
                Some(here[..here.len().checked_sub(n_up)?].iter().chain(rest).cloned().collect())
            }
            _ => {
                let child = [here, std::slice::from_ref(first)].concat();
                self.modules.contains_key(&child).then(|| [here, path].concat())
            }
        }
    }
}

impl Module {
    fn parse(file: String, text: &str) -> Self {
        let mut module = Self { file, ..Self::default() };
        module.visit_file(&syn::parse_file(text).unwrap());
        module
    }
}

impl<'a> Visit<'a> for Module {
    fn visit_item(&mut self, item: &'a Item) {
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Mod(item) => (&item.attrs, None),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => return,
        };
        if is_test(attributes) {
            return;
        }
        self.defines.extend(name.map(ToString::to_string));
        syn::visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let is_public = !matches!(item.vis, Visibility::Inherited);
        expand(&item.tree, &mut Vec::new(), is_public, &mut self.uses);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.len() > 1 && ["crate", "super"].contains(&parts[0].as_str()) {
            let name = parts[parts.len() - 1].clone();
            self.uses.push(Use { path: parts, name, is_public: false });
        }
        syn::visit::visit_path(self, path);
    }
}

/// `a::{b, c as d}` as the names that it brings.
fn expand(tree: &UseTree, prefix: &mut Vec<String>, is_public: bool, found: &mut Vec<Use>) {
    let mut add = |path: Vec<String>, name: String| found.push(Use { path, name, is_public });
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            expand(&path.tree, prefix, is_public, found);
            prefix.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                expand(tree, prefix, is_public, found);
            }
        }
        UseTree::Glob(_) => add(prefix.clone(), "*".to_owned()),
        UseTree::Name(name) if name.ident == "self" => {
            add(prefix.clone(), prefix.last().cloned().unwrap_or_default());
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            add([&prefix[..], std::slice::from_ref(&name)].concat(), name);
        }
        UseTree::Rename(rename) => {
            add([&prefix[..], &[rename.ident.to_string()]].concat(), rename.rename.to_string());
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

fn is_front(file: &str) -> bool {
    ["lib.rs", "mod.rs"].contains(&file.rsplit('/').next().unwrap_or_default())
}

/// `data/table.rs` as `["data", "table"]`.
fn module_path(file: &str) -> Vec<String> {
    let mut parts: Vec<String> = file.trim_end_matches(".rs").split('/').map(Into::into).collect();
    if parts.last().is_some_and(|last| ["lib", "mod", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}
