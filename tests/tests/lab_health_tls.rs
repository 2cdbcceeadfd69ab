//! The check `tls` against servers of all ages.

use anyhow::Result;
use lb_tests::lab::{
    Lab,
    certificates::Authority,
    peers::{NODE, case, certificate, compare, start},
    plan::Arrangement,
};

#[test]
fn tls_servers_old_and_new() -> Result<()> {
    let lab = Lab::up(Arrangement::OneArm, |_| ())?;
    let (certificate, key) = certificate(&lab);
    let mut servers = Vec::new();
    for (port, more) in [
        (9001, &["-tls1_3"][..]),
        (9002, &["-tls1_2"]),
        // What Windows Server 2012 is left with for an RSA certificate, and what no library of today
        // offers; and what was all there was before.
        (9003, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]),
        (9004, &["-tls1", "-cipher", "ALL:@SECLEVEL=0"]),
        // 5061 and 5062 ask for a client certificate.
        (9005, &["-tls1_2", "-Verify", "1"]),
    ] {
        let listen = format!("{}:{port}", NODE.access);
        let mut arguments = vec![
            "s_server",
            "-www",
            "-accept",
            &listen,
            "-cert",
            &certificate,
            "-key",
            &key,
        ];
        arguments.extend(more);
        servers.push(start(
            &lab,
            &format!("s_server-{port}"),
            "openssl",
            &arguments,
            port,
        )?);
    }
    let other = lab.folder.file("other-authority.pem");
    Authority::new()?.write(&other)?;
    let other = other.display().to_string();
    let ours = lab.folder.file("authority.pem").display().to_string();
    let judged = |ca: &str| format!("check = \"tls\"\nca = {ca:?}");
    compare(
        &lab,
        &[
            case("tls13", (9001, "tcp"), "check = \"tls\"", None),
            case(
                "tls12",
                (9002, "tcp"),
                "check = \"tls\"\nserver_name = \"edge.example\"",
                None,
            ),
            case("old-cipher", (9003, "tcp"), "check = \"tls\"", None),
            case("tls10", (9004, "tcp"), "check = \"tls\"", None),
            case("mutual", (9005, "tcp"), "check = \"tls\"", None),
            case("nginx", (443, "tcp"), "check = \"tls\"", None),
            case("judged", (443, "tcp"), judged(&ours), None),
            case("judged-13", (9001, "tcp"), judged(&ours), None),
            case(
                "stranger",
                (443, "tcp"),
                judged(&other),
                Some("invalid peer certificate"),
            ),
            case(
                "other-name",
                (443, "tcp"),
                judged(&ours) + "\nserver_name = \"edge.example\"",
                Some("certificate not valid for name"),
            ),
            // A whole handshake asks more of a server than its beginning.
            case("old-judged", (9003, "tcp"), judged(&ours), Some("TLS: ")),
            case(
                "closed",
                (9099, "tcp"),
                "check = \"tls\"",
                Some("Connection refused"),
            ),
            // It answers a ClientHello with an alert, as it should.
            case(
                "no-turn",
                (443, "tcp"),
                "check = \"ms-turn\"",
                Some("pseudo-TLS"),
            ),
        ],
    )
}
