//! The handshake that opens MS-TURN over TCP 443: it looks like TLS 1.0 to a firewall and encrypts
//! nothing.
//!
//! Source: the Open Specification MS-TURN, section 2.1.1, and requirements EV8 and IV5. After it both
//! ends send plain frames; a real TLS client never gets here, because no certificate comes.

use super::{Judgement, number};

/// Content type of a handshake record, and version 3.1.
const RECORD: [u8; 3] = [0x16, 3, 1];
const RECORD_HEADER: usize = 5;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const SERVER_HELLO_DONE: [u8; 4] = [14, 0, 0, 0];
/// The one cipher suite that is offered: `TLS_DH_anon_WITH_RC4_128_MD5`, as the specification has it.
const CIPHER_SUITE: [u8; 2] = [0, 0x18];

/// The `ClientHello` (50 bytes); `random` takes the place of time stamp and random value.
pub fn client_hello(random: &[u8; 32]) -> Vec<u8> {
    let mut body = vec![3, 1];
    body.extend(random);
    // No session.
    body.push(0);
    body.extend([0, 2]);
    body.extend(CIPHER_SUITE);
    // One compression method: none.
    body.extend([1, 0]);
    let mut hello = RECORD.to_vec();
    hello.extend((4 + body.len() as u16).to_be_bytes());
    hello.extend([CLIENT_HELLO, 0]);
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    hello
}

/// Judges what has come in answer: `ServerHello` and `ServerHelloDone` in one record, and nothing else.
pub fn judge(bytes: &[u8]) -> Judgement {
    let known = bytes.len().min(RECORD.len());
    if bytes[..known] != RECORD[..known] {
        return Judgement::bad("no pseudo-TLS handshake came back");
    }
    let Some(length) = number(bytes, RECORD.len()) else {
        return Judgement::Incomplete;
    };
    let end = RECORD_HEADER + usize::from(length);
    let Some(messages) = bytes.get(RECORD_HEADER..end) else {
        return Judgement::Incomplete;
    };
    let [SERVER_HELLO, 0, high, low, rest @ ..] = messages else {
        return Judgement::bad("a handshake that does not begin with a ServerHello");
    };
    let body = usize::from(u16::from_be_bytes([*high, *low]));
    if rest.get(body..) == Some(&SERVER_HELLO_DONE) {
        Judgement::Good(end)
    } else {
        Judgement::bad("a ServerHello that no ServerHelloDone follows: real TLS, not pseudo-TLS")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server answers: 70 bytes of `ServerHello` with a session id of 32 bytes, and its end.
    fn server_hello() -> Vec<u8> {
        let mut hello = vec![0x16, 3, 1, 0, 78, 2, 0, 0, 70, 3, 1];
        hello.extend([7; 32]);
        hello.push(32);
        hello.extend([9; 32]);
        hello.extend([0, 0x18, 0]);
        hello.extend([14, 0, 0, 0]);
        hello
    }

    #[test]
    fn the_client_hello_has_the_lengths_of_the_specification() {
        let hello = client_hello(&[5; 32]);
        assert_eq!(hello.len(), 50);
        assert_eq!(hello[..11], [0x16, 3, 1, 0, 0x2D, 1, 0, 0, 0x29, 3, 1]);
        assert_eq!(hello[11..43], [5; 32]);
        assert_eq!(hello[43..], [0, 0, 2, 0, 0x18, 1, 0]);
    }

    #[test]
    fn server_hello_and_server_hello_done_in_one_record_are_good() {
        let mut bytes = server_hello();
        for end in 0..bytes.len() {
            assert_eq!(judge(&bytes[..end]), Judgement::Incomplete, "{end}");
        }
        assert_eq!(judge(&bytes), Judgement::Good(83));
        // The first frame may come at once.
        bytes.push(2);
        assert_eq!(judge(&bytes), Judgement::Good(83));
    }

    #[test]
    fn real_tls_and_other_protocols_are_bad() {
        const REAL: &str =
            "a ServerHello that no ServerHelloDone follows: real TLS, not pseudo-TLS";
        let mut without_end = server_hello();
        without_end.truncate(79);
        without_end[4] = 74;
        assert_eq!(judge(&without_end), Judgement::bad(REAL));
        let mut with_certificate = server_hello();
        with_certificate[79] = 11;
        assert_eq!(judge(&with_certificate), Judgement::bad(REAL));
        assert_eq!(
            judge(b"HTTP/1.1 400 Bad Request\r\n"),
            Judgement::bad("no pseudo-TLS handshake came back")
        );
        assert_eq!(
            judge(&[0x16, 3, 1, 0, 4, 14, 0, 0, 0]),
            Judgement::bad("a handshake that does not begin with a ServerHello")
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_judge_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            judge(&bytes);
            judge(&[&RECORD[..], &bytes].concat());
        }
    }
}
