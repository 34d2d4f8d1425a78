// SPDX-License-Identifier: MIT
//! Finds libcardmark: in the folder CARDMARK_LIB_DIR, or where pkg-config says that it is.

use std::env;
use std::process::Command;

fn pkg_config(what: &str) -> String {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    match Command::new(&program).args([what, "libcardmark >= 0.2"]).output() {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).into_owned(),
        Ok(out) => panic!(
            "{} does not find libcardmark: install it, or set CARDMARK_LIB_DIR to the folder \
             of libcardmark.so\n{}",
            program,
            String::from_utf8_lossy(&out.stderr)
        ),
        Err(error) => panic!("{}: {}: install it, or set CARDMARK_LIB_DIR", program, error),
    }
}

fn main() {
    for name in ["CARDMARK_LIB_DIR", "PKG_CONFIG", "PKG_CONFIG_PATH"] {
        println!("cargo:rerun-if-env-changed={}", name);
    }
    println!("cargo:rustc-link-lib=dylib=cardmark");
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    let dirs: Vec<String> = match env::var("CARDMARK_LIB_DIR") {
        Ok(dir) => vec![dir],
        Err(_) => pkg_config("--libs-only-L")
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("-L").map(String::from))
            .collect(),
    };
    for dir in dirs {
        println!("cargo:rustc-link-search=native={}", dir);
        // For the tests and examples of this crate alone.
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", dir);
    }
}
