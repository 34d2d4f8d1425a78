// SPDX-License-Identifier: MIT
//! The raw layer and the headers agree: each constant, struct, field and function that the headers
//! have is in `sys` with the same value, size and offset, and `sys` has no other. A C program
//! that is made from the headers says what the values are. CARDMARK_INCLUDE_DIR has the headers,
//! or pkg-config knows where they are.

use cardmark::sys;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn include_dir() -> PathBuf {
    if let Some(dir) = env::var_os("CARDMARK_INCLUDE_DIR") {
        return dir.into();
    }
    let out = Command::new("pkg-config")
        .args(["--variable=includedir", "libcardmark"])
        .output()
        .expect("pkg-config, or set CARDMARK_INCLUDE_DIR");
    String::from_utf8(out.stdout).unwrap().trim().into()
}

/// The headers without comments.
fn headers() -> String {
    let mut text = String::new();
    for name in ["cardmark.h", "process.h"] {
        let path = include_dir().join("cardmark").join(name);
        text += &fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {}", path.display(), e));
    }
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("/*") {
        plain += &rest[..at];
        rest = &rest[at + rest[at..].find("*/").unwrap() + 2..];
    }
    plain + rest
}

fn last_word(text: &str) -> &str {
    text.trim().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap()
}

/// `NAME {` ... `}` of each struct or enum: its name and what is between.
fn bodies<'a>(text: &'a str, kind: &str) -> Vec<(&'a str, &'a str)> {
    text.match_indices(&format!("\n{} cardmark", kind))
        .filter_map(|(at, _)| {
            let rest = &text[at + 1..];
            let open = rest.find('{')?;
            let name = last_word(&rest[..open]);
            let is_body = rest[..open].trim() == format!("{} {}", kind, name);
            is_body.then(|| (name, &rest[open + 1..open + rest[open..].find('}').unwrap()]))
        })
        .collect()
}

fn constants(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (_, body) in bodies(text, "enum") {
        names.extend(
            body.split(',')
                .filter(|e| e.contains('='))
                .map(|e| e[..e.find('=').unwrap()].trim().to_string()),
        );
    }
    for line in text.lines().filter_map(|l| l.strip_prefix("#define CARDMARK_")) {
        let name = line.split_whitespace().next().unwrap();
        // Those with a value that is a number; not the macros, the guards and the computed one.
        if !name.contains('(')
            && !name.ends_with("_H")
            && !name.ends_with("_INIT")
            && name != "API"
            && name != "VERSION"
        {
            names.push(format!("CARDMARK_{}", name));
        }
    }
    names
}

/// STRUCT and STRUCT.FIELD of each.
fn fields(text: &str) -> Vec<(String, Vec<String>)> {
    bodies(text, "struct")
        .into_iter()
        .map(|(name, body)| {
            let mut all = Vec::new();
            for declaration in body.split(';').filter(|d| !d.trim().is_empty()) {
                for one in declaration.split(',') {
                    all.push(last_word(one.split('[').next().unwrap()).to_string());
                }
            }
            (name.to_string(), all)
        })
        .collect()
}

fn functions(text: &str) -> Vec<String> {
    text.split("CARDMARK_API ")
        .skip(1)
        .filter_map(|rest| Some(last_word(&rest[..rest.find('(')?]).to_string()))
        .filter(|name| name.starts_with("cardmark_"))
        .collect()
}

/// What a C program says about the headers: a name and a number in each line.
fn in_c(name: &str, text: &str) -> BTreeMap<String, u64> {
    let mut c = String::from(
        "#include <cardmark/process.h>\n#include <stdio.h>\nint main(void)\n{\n\
         #define SAY(name, value) printf(\"%s=%llu\\n\", name, (unsigned long long)(value))\n",
    );
    for name in constants(text) {
        c += &format!("SAY(\"{0}\", {0});\n", name);
    }
    for (name, fields) in fields(text) {
        c += &format!("SAY(\"{0}\", sizeof(struct {0}));\n", name);
        for field in fields {
            c += &format!("SAY(\"{0}.{1}\", offsetof(struct {0}, {1}));\n", name, field);
            c += &format!("SAY(\"{0}.{1} size\", sizeof(((struct {0} *)0)->{1}));\n", name, field);
        }
    }
    for kind in ["backend", "collected", "scan_op", "huge", "verify"] {
        c += &format!("SAY(\"enum {0}\", sizeof(enum cardmark_{0}));\n", kind);
    }
    c += "return 0;\n}\n";
    let dir = env::temp_dir().join(format!("cardmark-layout-{}-{}", std::process::id(), name));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("layout.c"), c).unwrap();
    let built = Command::new(env::var("CC").unwrap_or_else(|_| "cc".into()))
        .arg("-I")
        .arg(include_dir())
        .arg("-o")
        .arg(dir.join("layout"))
        .arg(dir.join("layout.c"))
        .status()
        .unwrap();
    assert!(built.success(), "the C program does not compile");
    let out = Command::new(dir.join("layout")).output().unwrap();
    fs::remove_dir_all(&dir).unwrap();
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            (name.to_string(), value.parse().unwrap())
        })
        .collect()
}

fn in_rust() -> BTreeMap<String, u64> {
    let mut all: BTreeMap<String, u64> = sys::layout().into_iter().collect();
    all.extend(sys::CONSTANTS.iter().map(|&(name, value)| (name.to_string(), value)));
    macro_rules! enums {
        ($($name:literal: $type:ty)*) => {
            $(all.insert(concat!("enum ", $name).into(), std::mem::size_of::<$type>() as u64);)*
        };
    }
    enums! {
        "backend": sys::cardmark_backend
        "collected": sys::cardmark_collected
        "scan_op": sys::cardmark_scan_op
        "huge": sys::cardmark_huge
        "verify": sys::cardmark_verify
    }
    all
}

/// Lines in which two maps differ.
fn differences(c: &BTreeMap<String, u64>, rust: &BTreeMap<String, u64>) -> Vec<String> {
    let mut names: Vec<_> = c.keys().chain(rust.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| c.get(*name) != rust.get(*name))
        .map(|name| format!("{}: C {:?}, Rust {:?}", name, c.get(name), rust.get(name)))
        .collect()
}

#[test]
fn values_sizes_and_offsets_are_those_of_the_headers() {
    let text = headers();
    let (c, rust) = (in_c("values", &text), in_rust());
    assert!(c.len() > 150, "only {} values found in the headers: the test is broken", c.len());
    assert_eq!(differences(&c, &rust), Vec::<String>::new());
    println!("{} values", c.len());
}

#[test]
fn functions_are_those_of_the_headers() {
    let mut c = functions(&headers());
    let mut rust: Vec<String> = sys::FUNCTIONS.iter().map(|f| f.to_string()).collect();
    c.sort();
    rust.sort();
    assert!(c.len() > 30, "only {} functions found: the test is broken", c.len());
    assert_eq!(c, rust);
}

#[test]
fn the_crate_has_the_version_of_the_headers() {
    let (major, minor) = (sys::CARDMARK_VERSION_MAJOR, sys::CARDMARK_VERSION_MINOR);
    let version = format!("{}.{}.{}", major, minor, sys::CARDMARK_VERSION_PATCH);
    assert_eq!(env!("CARGO_PKG_VERSION"), version);
}

/// Control: a field more in the header, and a constant of another value, are found.
#[test]
fn a_difference_is_found() {
    let text = headers();
    let grown =
        text.replace("uint64_t backoff_cards;", "uint64_t backoff_cards;\n\tuint64_t more;");
    assert_ne!(grown, text);
    let more = fields(&grown).into_iter().find(|(name, _)| name == "cardmark_stats").unwrap().1;
    assert!(more.contains(&"more".to_string()));
    let (c, mut rust) = (in_c("control", &text), in_rust());
    *rust.get_mut("CARDMARK_BACKEND_UFFD").unwrap() += 1;
    rust.remove("cardmark_query.resume");
    assert_eq!(differences(&c, &rust).len(), 2);
}
