//! The checks `http`, `sip`, `stun` and `ms-turn` against real servers: those in good health, and those
//! that answer something else.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddrV4, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::lab::{
    Lab,
    ms_turn::MsTurn,
    namespace::Namespace,
    peers::{HOST, NODE, case, certificate, compare, start},
    plan::Arrangement,
};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

#[test]
fn http_in_clear_and_over_tls() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let own = lab.folder.subfolder("http")?;
    fs::write(own.join("nginx.conf"), nginx(&own))?;
    let configuration = own.join("nginx.conf").display().to_string();
    let arguments = ["-c", &configuration, "-e", "stderr"];
    let _nginx = start(&lab, "http", "nginx", &arguments, 8080)?;
    let ours = lab.folder.file("authority.pem").display().to_string();
    let http = |more: &str| format!("check = \"http\"\n{more}");
    compare(
        &lab,
        &[
            case("plain", (8080, "tcp"), http("path = \"/health\""), None),
            case(
                "sick",
                (8080, "tcp"),
                http("path = \"/sick\""),
                Some("status 503"),
            ),
            case(
                "wanted",
                (8080, "tcp"),
                http("path = \"/sick\"\nstatus = [503]"),
                None,
            ),
            case(
                "named",
                (8080, "tcp"),
                http("path = \"/named\"\nserver_name = \"edge.example\""),
                None,
            ),
            case(
                "nameless",
                (8080, "tcp"),
                http("path = \"/named\""),
                Some("status 404"),
            ),
            case(
                "tls",
                (443, "tcp"),
                http("path = \"/who\"\ntls = true"),
                None,
            ),
            case(
                "judged",
                (443, "tcp"),
                http(&format!("path = \"/who\"\ntls = true\nca = {ours:?}")),
                None,
            ),
            case("clear-to-tls", (443, "tcp"), http(""), Some("status 400")),
            case(
                "tls-to-clear",
                (8080, "tcp"),
                "check = \"tls\"",
                Some("no TLS"),
            ),
            case(
                "sip-to-http",
                (8080, "tcp"),
                "check = \"sip\"",
                Some("no SIP response"),
            ),
            case("tcp", (8080, "tcp"), "check = \"tcp\"", None),
        ],
    )
}

fn nginx(own: &Path) -> String {
    let (own, address) = (own.display(), NODE.access);
    format!(
        "daemon off; user root; worker_processes 1; pid {own}/nginx.pid; events {{}}\n\
         http {{ access_log off; client_body_temp_path {own}/b; proxy_temp_path {own}/p;\n\
         fastcgi_temp_path {own}/f; uwsgi_temp_path {own}/u; scgi_temp_path {own}/s;\n\
         server {{ listen {address}:8080;\n\
         location = /health {{ return 200 well; }}\n\
         location = /sick {{ return 503 sick; }}\n\
         location = /named {{ if ($host != edge.example) {{ return 404; }} return 204; }} }} }}\n"
    )
}

/// Answers every OPTIONS with a status, for ever.
const OPTIONS: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="options">
  <recv request="OPTIONS" crlf="true"/>
  <send><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:];tag=[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

  ]]></send>
</scenario>
"#;

#[test]
fn sip_options_over_tcp_and_tls() -> Result<()> {
    let lab = Lab::up(Arrangement::OneArm, |_| ())?;
    let scenario = lab.folder.file("options.xml");
    fs::write(&scenario, OPTIONS)?;
    let (scenario, address) = (scenario.display().to_string(), NODE.access.to_string());
    let sipp = [
        "-sf", &scenario, "-t", "t1", "-i", &address, "-p", "5060", "-nostdin",
    ];
    let _sipp = start(&lab, "sipp", "sipp", &sipp, 5060)?;
    serve_sip_over_tls(&lab, lab.host(HOST))?;
    let ours = lab.folder.file("authority.pem").display().to_string();
    compare(
        &lab,
        &[
            case("sip", (5060, "tcp"), "check = \"sip\"", None),
            case(
                "unwanted",
                (5060, "tcp"),
                "check = \"sip\"\nstatus = [202]",
                Some("OPTIONS was answered by 200 OK"),
            ),
            case(
                "over-tls",
                (5071, "tcp"),
                "check = \"sip\"\ntls = true",
                None,
            ),
            case(
                "over-good-tls",
                (5071, "tcp"),
                format!("check = \"sip\"\ntls = true\nca = {ours:?}"),
                None,
            ),
            case(
                "clear-to-tls",
                (5071, "tcp"),
                "check = \"sip\"",
                Some("no SIP response"),
            ),
        ],
    )
}

/// SIP over TLS, which sipp is built without: the head of the request comes back as a response.
fn serve_sip_over_tls(lab: &Lab, host: &Namespace) -> Result<()> {
    let (certificate, key) = certificate(lab);
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let config = Arc::new(config);
    let address = SocketAddrV4::new(NODE.access, 5071);
    let listener = host.enter(|| TcpListener::bind(address))??;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // A client that breaks off is its own affair.
            thread::spawn(move || answer_options(stream, config));
        }
    });
    Ok(())
}

fn answer_options(mut tcp: TcpStream, config: Arc<ServerConfig>) -> Result<()> {
    let mut session = ServerConnection::new(config)?;
    let mut stream = Stream::new(&mut session, &mut tcp);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let request = String::from_utf8(request)?;
    let (line, head) = request.split_once("\r\n").context("a line")?;
    ensure!(
        line.starts_with("OPTIONS sip:") && head.contains("SIP/2.0/TLS"),
        "{request}"
    );
    stream.write_all(format!("SIP/2.0 200 OK\r\n{head}").as_bytes())?;
    // Until the client closes.
    let _ = stream.read(&mut [0; 16]);
    Ok(())
}

#[test]
fn stun_and_ms_turn() -> Result<()> {
    let lab = Lab::up(Arrangement::TwoArm, |_| ())?;
    let listen = format!("--listening-ip={}", NODE.access);
    let turnserver = [
        "-n",
        &listen,
        "--listening-port=3479",
        "--no-tls",
        "--no-dtls",
        "--no-cli",
        "--log-file=stdout",
        "--pidfile=turnserver.pid",
        "--userdb=turnserver.db",
        "--lt-cred-mech",
        "--realm=edge.example",
        "--user=a:b",
    ];
    let _turnserver = start(&lab, "turnserver", "turnserver", &turnserver, 3479)?;
    // On the very same address, so that one table says it all.
    let _av = MsTurn::start_at(lab.host(HOST), NODE.access, 3478, 4443)?;
    compare(
        &lab,
        &[
            case("stun-udp", (3479, "udp"), "check = \"stun\"", None),
            case("stun-tcp", (3479, "tcp"), "check = \"stun\"", None),
            case("turn-udp", (3478, "udp"), "check = \"ms-turn\"", None),
            case("turn-tcp", (4443, "tcp"), "check = \"ms-turn\"", None),
            // An Edge Server ignores what does not begin with its cookie.
            case(
                "stun-to-turn",
                (3478, "udp"),
                "check = \"stun\"",
                Some("no answer within 500ms"),
            ),
            case(
                "tls-to-turn",
                (4443, "tcp"),
                "check = \"tls\"",
                Some("the connection "),
            ),
            case(
                "nobody",
                (3999, "udp"),
                "check = \"stun\"",
                Some("Connection refused"),
            ),
        ],
    )
}
