//! How nodes are asked: `check` and the keys that go with some checks and not with others.

use std::path::PathBuf;

use super::{Check, Tls};
use crate::config::{
    Problem,
    document::{Place, Section, Value},
};

const CHECKS: &str =
    "a check; \"tcp\", \"tls\", \"sip\", \"ms-turn\", \"stun\", \"http\" and \"none\" are";
const HOST: &str =
    "the name of a host, such as \"sip.example.com\" (letters, digits, \"-\" and \".\")";
const FILE: &str =
    "the path of a file of certificates, such as \"/etc/ssl/certs/ca-certificates.crt\"";
const PATH: &str = "a path with \"/\" in front and without blanks, such as \"/health\"";
const STATUS: &str = "a status; a whole number from 200 to 699 is";
const STATUSES: &str = "a list of statuses, such as [200, 404]";

/// What is written beside `check`.
#[derive(Default)]
struct Options {
    over_tls: bool,
    tls: Tls,
    path: Option<String>,
    status: Vec<u16>,
}

/// A key that some checks have no use for.
struct Optional {
    key: &'static str,
    place: Place,
}

/// Reads how the nodes are asked, and where that stands. A key that says nothing to the check that was
/// chosen is wrong: who wrote it thinks of another one.
pub fn check(section: &mut Section, problems: &mut Vec<Problem>) -> (Option<Check>, Place) {
    let value = section.take("check");
    let place = value
        .as_ref()
        .map_or_else(|| section.place().clone(), |value| value.place.clone());
    let is_set = value.is_some();
    let name = value.and_then(|value| {
        value.parsed(CHECKS, problems, |text| {
            let known = ["none", "tcp", "tls", "sip", "ms-turn", "stun", "http"];
            known.into_iter().find(|name| *name == text)
        })
    });
    let (options, keys) = options(section, problems);
    if is_set && name.is_none() {
        // Which keys go with it is not known.
        return (None, place);
    }
    for Optional { key, place } in keys {
        if let Some(wanted) = wanted(key, name, options.over_tls) {
            place.problem(problems, format!("{key} says something only with {wanted}"));
        }
    }
    (name.map(|name| with(name, options)), place)
}

fn options(section: &mut Section, problems: &mut Vec<Problem>) -> (Options, Vec<Optional>) {
    let mut options = Options::default();
    let mut keys = Vec::new();
    let mut take = |key| -> Option<Value> {
        let value = section.take(key)?;
        let place = value.place.clone();
        keys.push(Optional { key, place });
        Some(value)
    };
    if let Some(value) = take("tls") {
        options.over_tls = value.flag(problems).unwrap_or(false);
    }
    if let Some(value) = take("server_name") {
        options.tls.server_name = value.parsed(HOST, problems, host);
    }
    if let Some(value) = take("ca") {
        options.tls.ca = value.parsed(FILE, problems, |text| {
            text.starts_with('/').then(|| PathBuf::from(text))
        });
    }
    if let Some(value) = take("path") {
        options.path = value.parsed(PATH, problems, |text| {
            let good = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
            good.then(|| text.to_owned())
        });
    }
    if let Some(value) = take("status") {
        for value in value.list(STATUSES, problems).unwrap_or_default() {
            let status = value.number(200..700, STATUS, problems);
            let status = status.and_then(|status| u16::try_from(status).ok());
            options.status.extend(status);
        }
    }
    (options, keys)
}

/// What a key goes with, where it does not go with the check `name`.
fn wanted(key: &str, name: Option<&str>, over_tls: bool) -> Option<&'static str> {
    let sip_or_http = matches!(name, Some("sip" | "http"));
    let (fits, wanted) = match key {
        "path" => (name == Some("http"), "check = \"http\""),
        // Without TLS the name is still the host that HTTP asks for.
        "server_name" if name == Some("http") => (true, ""),
        "server_name" | "ca" if sip_or_http => (over_tls, "tls = true"),
        "server_name" | "ca" => (name == Some("tls"), "check = \"tls\", \"sip\" or \"http\""),
        _ => (sip_or_http, "check = \"sip\" or \"http\""),
    };
    (!fits).then_some(wanted)
}

fn with(name: &str, options: Options) -> Check {
    let Options {
        over_tls,
        tls,
        path,
        status,
    } = options;
    match name {
        "tcp" => Check::Tcp,
        "tls" => Check::Tls(tls),
        "sip" => Check::Sip {
            tls: over_tls.then_some(tls),
            status,
        },
        "ms-turn" => Check::MsTurn,
        "stun" => Check::Stun,
        "http" => Check::Http {
            host: tls.server_name.clone(),
            tls: over_tls.then_some(tls),
            path: path.unwrap_or_else(|| "/".to_owned()),
            status,
        },
        _ => Check::None,
    }
}

/// A name that a TLS server can be told (RFC 6066 section 3: no address).
fn host(text: &str) -> Option<String> {
    let good = (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
        && !text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    good.then(|| text.to_owned())
}
