//! The beginning of a TLS handshake: a `ClientHello` that every server can answer, and what comes back.
//!
//! Only the `ServerHello` is waited for (RFC 8446 section 4.1, RFC 5246 section 7.4.1). Nothing has been
//! agreed on by then, so the server sees a client that has changed its mind: a check needs no client
//! certificate where the service asks for one (5061, 5062), and works with the old versions and cipher
//! suites that an Edge Server of 2013 is left with on its Windows, which modern TLS libraries refuse.

use rustls::AlertDescription;

use super::{Judgement, number};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const RECORD_HEADER: usize = 5;
const HANDSHAKE_HEADER: usize = 4;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// What servers have had since 2000, the better ones first (IANA, TLS Cipher Suites).
const CIPHER_SUITES: [u16; 33] = [
    // TLS 1.3.
    0x1301, 0x1302, 0x1303, // ECDHE with AEAD, for ECDSA and RSA certificates.
    0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, // DHE with AEAD.
    0x009E, 0x009F, // ECDHE and DHE with CBC.
    0xC023, 0xC027, 0xC024, 0xC028, 0xC009, 0xC013, 0xC00A, 0xC014, 0x0067, 0x006B, 0x0033, 0x0039,
    // RSA key exchange.
    0x009C, 0x009D, 0x003C, 0x003D, 0x002F, 0x0035, 0x000A, 0x0005, 0x0004,
    // Secure renegotiation is known (RFC 5746).
    0x00FF,
];
const X25519: u16 = 0x001D;
/// x25519, secp256r1, secp384r1, secp521r1.
const GROUPS: [u16; 4] = [X25519, 0x0017, 0x0018, 0x0019];
/// ECDSA, PSS and PKCS #1 with SHA-2, and what TLS 1.2 servers of old sign with: SHA-1.
const SIGNATURES: [u16; 11] = [
    0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
];
/// TLS 1.3 to TLS 1.0.
const VERSIONS: [u16; 4] = [0x0304, 0x0303, 0x0302, 0x0301];

/// A `ClientHello` in a record. `random` takes the places of random value, session id and key share, of
/// which any 32 bytes are a valid one of x25519 (RFC 7748 section 5); `name` is told to the server.
pub fn client_hello(random: &[[u8; 32]; 3], name: Option<&str>) -> Vec<u8> {
    let [random, session, key] = random;
    let mut body = vec![3, 3];
    body.extend(random);
    body.push(session.len() as u8);
    body.extend(session);
    body.extend(sized(&numbers(&CIPHER_SUITES)));
    // One compression method: none.
    body.extend([1, 0]);
    let mut extensions = Vec::new();
    if let Some(name) = name {
        // RFC 6066 section 3: a list of one name of type host name (0).
        let entry = [&[0][..], &sized(name.as_bytes())].concat();
        extensions.extend(extension(0x0000, &sized(&entry)));
    }
    extensions.extend(extension(0x000A, &sized(&numbers(&GROUPS))));
    // Points are not compressed (RFC 8422 section 5.1.2).
    extensions.extend(extension(0x000B, &[1, 0]));
    extensions.extend(extension(0x000D, &sized(&numbers(&SIGNATURES))));
    let versions = numbers(&VERSIONS);
    extensions.extend(extension(
        0x002B,
        &[&[versions.len() as u8][..], &versions].concat(),
    ));
    let share = [&X25519.to_be_bytes()[..], &sized(key)].concat();
    extensions.extend(extension(0x0033, &sized(&share)));
    body.extend(sized(&extensions));

    let mut hello = vec![HANDSHAKE, 3, 1];
    hello.extend(((HANDSHAKE_HEADER + body.len()) as u16).to_be_bytes());
    hello.extend([CLIENT_HELLO, 0]);
    hello.extend(sized(&body));
    hello
}

/// Big-endian, one after the other.
fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().copied().flat_map(u16::to_be_bytes).collect()
}

/// Preceded by its length in two bytes. Everything here is far below 64 KiB.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized(content)].concat()
}

/// Judges what has come in answer.
pub fn judge(bytes: &[u8]) -> Judgement {
    let (Some(kind), Some(length)) = (bytes.first(), number(bytes, 3)) else {
        return Judgement::Incomplete;
    };
    let record = &bytes[RECORD_HEADER..];
    let record = &record[..record.len().min(usize::from(length))];
    match (*kind, bytes[1], record) {
        (HANDSHAKE, 3, [SERVER_HELLO, 0, high, low, body @ ..]) => {
            // It may go on in a further record; nobody sends such a long one, and it is there anyhow.
            let whole = usize::from(u16::from_be_bytes([*high, *low]));
            if body.len() >= whole || HANDSHAKE_HEADER + body.len() == usize::from(length) {
                Judgement::Good(RECORD_HEADER + HANDSHAKE_HEADER + body.len().min(whole))
            } else {
                Judgement::Incomplete
            }
        }
        (HANDSHAKE, 3, partial) if partial.len() < HANDSHAKE_HEADER => {
            if usize::from(length) < HANDSHAKE_HEADER {
                Judgement::bad("a TLS handshake that is cut off")
            } else {
                Judgement::Incomplete
            }
        }
        (HANDSHAKE, 3, _) => Judgement::bad("a TLS handshake without a ServerHello"),
        (ALERT, 3, [_, description, ..]) => Judgement::Bad(format!(
            "TLS alert {description} ({:?})",
            AlertDescription::from(*description)
        )),
        (ALERT, 3, _) if usize::from(length) >= 2 => Judgement::Incomplete,
        _ => Judgement::bad("an answer that is no TLS"),
    }
}

/// The alert that ends the connection before its server goes on: `close_notify`, a warning (RFC 5246
/// section 7.2.1), in the version of what the server has sent.
pub fn close_notify(sent: &[u8]) -> Vec<u8> {
    let version = match sent {
        [_, 3, minor, ..] => *minor,
        _ => 3,
    };
    vec![ALERT, 3, version, 0, 2, 1, 0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::server::Acceptor;

    use super::*;

    const RANDOM: [[u8; 32]; 3] = [[1; 32], [2; 32], [3; 32]];

    /// As a server that is not ours reads it.
    #[test]
    fn a_server_understands_the_client_hello() {
        for name in [None, Some("sip.example.com")] {
            let hello = client_hello(&RANDOM, name);
            let mut acceptor = Acceptor::default();
            acceptor
                .read_tls(&mut &hello[..])
                .expect("a slice can be read");
            let accepted = acceptor.accept().map_err(|(error, _)| error);
            let accepted = accepted.expect("it is TLS").expect("it is whole");
            let hello = accepted.client_hello();
            assert_eq!(hello.server_name(), name);
            assert_eq!(hello.cipher_suites().len(), CIPHER_SUITES.len());
            assert_eq!(hello.signature_schemes().len(), SIGNATURES.len());
        }
    }

    /// A record with a `ServerHello` of `length` bytes, of which all are there.
    fn server_hello(length: u8) -> Vec<u8> {
        let mut hello = vec![22, 3, 3, 0, length + 4, 2, 0, 0, length];
        hello.extend(vec![7; usize::from(length)]);
        hello
    }

    #[test]
    fn a_server_hello_is_good_once_all_of_it_is_there() {
        let mut bytes = server_hello(70);
        for end in 0..bytes.len() {
            assert_eq!(judge(&bytes[..end]), Judgement::Incomplete, "{end}");
        }
        assert_eq!(judge(&bytes), Judgement::Good(79));
        // A certificate may follow in the same record.
        bytes[4] += 60;
        bytes.extend([11, 0, 0, 56]);
        assert_eq!(judge(&bytes), Judgement::Good(79));
    }

    #[test]
    fn an_alert_and_what_is_no_tls_are_bad() {
        for (bytes, what) in [
            (
                &[21, 3, 3, 0, 2, 2, 40][..],
                "TLS alert 40 (HandshakeFailure)",
            ),
            (
                &[22, 3, 3, 0, 4, 11, 0, 0, 0],
                "a TLS handshake without a ServerHello",
            ),
            (&[22, 3, 3, 0, 1, 2], "a TLS handshake that is cut off"),
            (b"HTTP/1.1 400 Bad Request", "an answer that is no TLS"),
            (&[21, 3, 3, 0, 0], "an answer that is no TLS"),
        ] {
            assert_eq!(judge(bytes), Judgement::bad(what));
        }
        assert_eq!(judge(&[21, 3, 3, 0, 2, 2]), Judgement::Incomplete);
    }

    #[test]
    fn the_farewell_is_in_the_version_of_the_server() {
        assert_eq!(close_notify(&[22, 3, 1, 0]), [21, 3, 1, 0, 2, 1, 0]);
        assert_eq!(close_notify(&server_hello(70)), [21, 3, 3, 0, 2, 1, 0]);
        assert_eq!(close_notify(&[]), [21, 3, 3, 0, 2, 1, 0]);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_judge_panic(
            kind in 20_u8..24,
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            judge(&bytes);
            judge(&[&[kind, 3, 3], &bytes[..]].concat());
            close_notify(&bytes);
        }
    }
}
