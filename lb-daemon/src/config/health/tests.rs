//! What a wrong `[health]` is told, word for word.

use super::*;
use crate::config::Config;

/// A right file, after which the cases below write `[health]`, from line 20 on.
const POOL: &str = r#"[pool]
name = "edge"
[interfaces]
external = ["ext0"]
internal = ["int0"]
[vips]
access = "203.0.113.10"
av = "203.0.113.30"
internal = "10.20.0.10"
[[nodes]]
name = "edge1"
access = "203.0.113.11"
av = "203.0.113.31"
internal = "10.20.0.11"
[[services]]
name = "web"
listen = "203.0.113.40:80/tcp"
treatment = "snat"
nodes = [{ name = "a", address = "203.0.113.41:80" }]
"#;

fn read(health: &str) -> Result<Health, String> {
    let config = Config::parse(&format!("{POOL}{health}"));
    config.map(|config| config.health).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

/// What is said of a `[health]` that is wrong in one place.
fn check(cases: &[(&str, &str)]) {
    for (health, expected) in cases {
        let said = read(health).map(|health| format!("nothing wrong: {health:?}"));
        assert_eq!(said, Err((*expected).to_owned()), "{health}");
    }
}

/// The same for one of `[[health.services]]`, which begins in line 20.
fn check_service(cases: &[(&str, &str)]) {
    for (service, expected) in cases {
        check(&[(&format!("[[health.services]]\n{service}\n"), expected)]);
    }
}

#[test]
fn without_a_section_everything_is_checked_by_default() {
    let health = read("").expect("it is right");
    assert_eq!(health, Health::default());
    assert_eq!(read("[health]\n"), Ok(health));
    let Settings {
        interval, timeout, ..
    } = Settings::default();
    assert_eq!((interval.as_secs(), timeout.as_secs()), (2, 1));
}

#[test]
fn a_service_has_what_is_general_unless_it_says_otherwise() {
    let health = read(
        "[health]\ninterval = \"500ms\"\nfall = 2\n[[health.services]]\nname = \"av-443\"\nrise = 7\non_all_down = \"last\"\n[[health.services]]\nname = \"access-443\"\ninterval = 10\n",
    )
    .expect("it is right");
    // Half the interval: the default timeout is longer.
    assert_eq!(health.general.timeout, Duration::from_millis(250));
    let of = |name| health.of(name).expect("it has its own").settings;
    assert_eq!(
        of("av-443"),
        Settings {
            rise: 7,
            on_all_down: OnAllDown::Last,
            ..health.general
        }
    );
    assert_eq!(of("access-443").timeout, Duration::from_secs(1));
    assert_eq!(of("access-443").fall, 2);
    assert_eq!(health.of("av-3478"), None);
}

#[test]
fn single_values() {
    const INTERVAL: &str =
        "a time from 100ms to 1h, such as \"500ms\", \"2s\" or a whole number of seconds";
    const COUNT: &str = "a number of checks; a whole number from 1 to 100 is";
    check(&[
        (
            "[health]\ninterval = \"99ms\"",
            &format!("21: health.interval: \"99ms\" is not {INTERVAL}"),
        ),
        (
            "[health]\ninterval = \"soon\"",
            &format!("21: health.interval: \"soon\" is not {INTERVAL}"),
        ),
        (
            "[health]\ntimeout = 0",
            "21: health.timeout: 0 is not a time from 10ms to 1h, such as \"500ms\", \"1s\" or a whole number of seconds",
        ),
        (
            "[health]\ntimeout = 3",
            "21: health.timeout: a timeout of 3s is longer than the interval of 2s; a check ends before the next begins",
        ),
        (
            "[health]\nrise = 0",
            &format!("21: health.rise: 0 is not {COUNT}"),
        ),
        (
            "[health]\nfall = 101",
            &format!("21: health.fall: 101 is not {COUNT}"),
        ),
        (
            "[health]\ndrain_timeout = \"500ms\"",
            "21: health.drain_timeout: \"500ms\" is not a time in whole seconds from 0s to 1d, such as \"5m\" or a whole number of seconds",
        ),
        (
            "[health]\ndrain_timeout = \"25h\"",
            "21: health.drain_timeout: \"25h\" is not a time in whole seconds from 0s to 1d, such as \"5m\" or a whole number of seconds",
        ),
        (
            "[health]\ncalm = \"25h\"",
            "21: health.calm: \"25h\" is not a time from 0s to 1d, such as \"1m\" or a whole number of seconds",
        ),
        (
            "[health]\non_all_down = \"pray\"",
            "21: health.on_all_down: \"pray\" is not what happens to new flows when no node is up; \"refuse\" (they are refused at once) and \"last\" (they go to the nodes that were the last to be up) are",
        ),
        (
            "[health]\nenabled = 0",
            "21: health.enabled: 0 is not true or false",
        ),
        (
            "[health]\ninterwal = 2",
            "21: health.interwal: unknown key \"interwal\"; did you mean \"interval\"?",
        ),
        (
            "[health]\nservices = \"all\"",
            "21: health.services: \"all\" is not a list of tables; [[health.services]] starts each",
        ),
        (
            "[health]\nservices = [1]",
            "21: health.services[0]: 1 is not a table",
        ),
    ]);
    let problems = Config::parse(&format!("health = 1\n{POOL}")).expect_err("it is wrong");
    assert_eq!(problems[0].to_string(), "1: health: 1 is not a table");
}

#[test]
fn values_of_a_service() {
    check_service(&[
        (
            "check = \"tcp\"",
            "20: health.services[0].name: missing; the name of a service is needed",
        ),
        (
            "name = 443",
            "21: health.services[0].name: 443 is not the name of a service",
        ),
        (
            "name = \"web\"\ncheck = \"ping\"",
            "22: health.services[0].check: \"ping\" is not a check; \"tcp\", \"tls\", \"sip\", \"ms-turn\", \"stun\", \"http\" and \"none\" are",
        ),
        (
            "name = \"web\"\ncheck = \"http\"\npath = \"health\"",
            "23: health.services[0].path: \"health\" is not a path with \"/\" in front and without blanks, such as \"/health\"",
        ),
        (
            "name = \"web\"\ncheck = \"http\"\nstatus = 200",
            "23: health.services[0].status: 200 is not a list of statuses, such as [200, 404]",
        ),
        (
            "name = \"web\"\ncheck = \"http\"\nstatus = [200, 99]",
            "23: health.services[0].status[1]: 99 is not a status; a whole number from 200 to 699 is",
        ),
        (
            "name = \"web\"\ncheck = \"tls\"\nserver_name = \"10.0.0.1\"",
            "23: health.services[0].server_name: \"10.0.0.1\" is not the name of a host, such as \"sip.example.com\" (letters, digits, \"-\" and \".\")",
        ),
        (
            "name = \"web\"\ncheck = \"tls\"\nca = \"ca.pem\"",
            "23: health.services[0].ca: \"ca.pem\" is not the path of a file of certificates, such as \"/etc/ssl/certs/ca-certificates.crt\"",
        ),
        (
            "name = \"web\"\ngate = 5061",
            "22: health.services[0].gate: 5061 is not another service by its name or port, such as \"access-5061\" or \"5061\"",
        ),
        (
            "name = \"web\"\nenabled = false",
            "22: health.services[0].enabled: unknown key \"enabled\"; known here are name, check, tls, server_name, ca, path, status, gate, interval, timeout, rise, fall, calm, on_all_down, on_node_down, drain_timeout",
        ),
        (
            "name = \"web\"\ninterval = \"1s\"\ntimeout = \"2s\"",
            "23: health.services[0].timeout: a timeout of 2s is longer than the interval of 1s; a check ends before the next begins",
        ),
    ]);
    // The timeout that is general was meant for a longer interval.
    check(&[(
        "[health]\ntimeout = \"2s\"\n[[health.services]]\nname = \"web\"\ninterval = \"1s\"",
        "22: health.services[0]: a timeout of 2s is longer than the interval of 1s; a check ends before the next begins",
    )]);
}

#[test]
fn keys_go_with_some_checks_and_not_with_others() {
    for (keys, wanted) in [
        (
            "path = \"/\"",
            "path says something only with check = \"http\"",
        ),
        (
            "check = \"tls\"\ntls = true",
            "tls says something only with check = \"sip\" or \"http\"",
        ),
        (
            "check = \"tls\"\nstatus = [200]",
            "status says something only with check = \"sip\" or \"http\"",
        ),
        (
            "check = \"sip\"\npath = \"/\"",
            "path says something only with check = \"http\"",
        ),
        (
            "check = \"tcp\"\nserver_name = \"a\"",
            "server_name says something only with check = \"tls\", \"sip\" or \"http\"",
        ),
        (
            "check = \"sip\"\nserver_name = \"a\"",
            "server_name says something only with tls = true",
        ),
        (
            "check = \"http\"\nca = \"/ca\"",
            "ca says something only with tls = true",
        ),
        (
            "ca = \"/ca\"",
            "ca says something only with check = \"tls\", \"sip\" or \"http\"",
        ),
    ] {
        let text = format!("[[health.services]]\nname = \"web\"\n{keys}\n");
        let said = read(&text).map(|_| ());
        let said = said.map_err(|said| said.split_once(": ").map(|(_, said)| said.to_owned()));
        let key = wanted.split(' ').next().unwrap_or_default();
        assert_eq!(
            said,
            Err(Some(format!("health.services[0].{key}: {wanted}"))),
            "{keys}"
        );
    }
}

#[test]
fn every_check_can_be_chosen() {
    let tls = Tls {
        server_name: Some("a.example".to_owned()),
        ca: Some("/ca".into()),
    };
    for (keys, check) in [
        ("check = \"none\"", Check::None),
        ("check = \"tcp\"", Check::Tcp),
        ("check = \"tls\"", Check::Tls(Tls::default())),
        (
            "check = \"tls\"\nserver_name = \"a.example\"\nca = \"/ca\"",
            Check::Tls(tls.clone()),
        ),
        (
            "check = \"sip\"",
            Check::Sip {
                tls: None,
                status: vec![],
            },
        ),
        (
            "check = \"sip\"\ntls = true\nserver_name = \"a.example\"\nca = \"/ca\"\nstatus = [200, 404]",
            Check::Sip {
                tls: Some(tls),
                status: vec![200, 404],
            },
        ),
        ("check = \"ms-turn\"", Check::MsTurn),
        ("check = \"stun\"", Check::Stun),
        (
            "check = \"http\"\nserver_name = \"a.example\"",
            Check::Http {
                tls: None,
                path: "/".to_owned(),
                host: Some("a.example".to_owned()),
                status: vec![],
            },
        ),
    ] {
        let text = format!("[[health.services]]\nname = \"web\"\n{keys}\n");
        let health = read(&text).expect(keys);
        assert_eq!(health.services[0].check, Some(check));
    }
}

#[test]
fn what_does_not_fit_the_services() {
    check_service(&[
        (
            "name = \"access-80\"",
            "21: health.services[0].name: there is no service \"access-80\"; there are access-443, access-5061, access-5269, av-3478, av-443, internal-5061, internal-5062, internal-3478, internal-443, web",
        ),
        (
            "name = \"web\"\n[[health.services]]\nname = \"web\"",
            "23: health.services[1].name: \"web\" is health.services[0].name already; a service stands here once",
        ),
        (
            "name = \"av-3478\"\ncheck = \"tls\"",
            "22: health.services[0].check: \"tls\" needs TCP, and av-3478 is udp; \"ms-turn\", \"stun\" and \"none\" are possible",
        ),
        (
            "name = \"access-443\"\ngate = \"access-443\"",
            "22: health.services[0].gate: access-443 is the service itself; a gate is another one",
        ),
        (
            "name = \"access-443\"\ngate = \"5062\"",
            "22: health.services[0].gate: there is no other service \"5062\" on the external side",
        ),
        (
            "name = \"web\"\ngate = \"443\"",
            "22: health.services[0].gate: access-443 and av-443 listen on port 443, and none has every node of web",
        ),
        (
            "name = \"own\"\ngate = \"443\"\n[[services]]\nname = \"own\"\nlisten = \"203.0.113.50:81/tcp\"\ntreatment = \"snat\"\nnodes = [{ name = \"edge1\", address = \"203.0.113.51:81\" }]",
            "22: health.services[0].gate: access-443 and av-443 listen on port 443; the name of one of them is right",
        ),
        (
            "name = \"web\"\ngate = \"5061\"",
            "22: health.services[0].gate: node \"a\" does not stand behind access-5061; a gate has every node of web",
        ),
        (
            "name = \"access-443\"\ngate = \"5061\"\n[[health.services]]\nname = \"access-5061\"\ncheck = \"none\"",
            "22: health.services[0].gate: access-5061 is not checked itself; a gate is another service that is",
        ),
    ]);
    for gate in ["443", "internal-5061", "av-443", "5061"] {
        let text = format!("[[health.services]]\nname = \"av-3478\"\ngate = \"{gate}\"\n");
        assert!(read(&text).is_ok(), "{gate}");
    }
}
