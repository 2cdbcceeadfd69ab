//! MS-TURN, as an Edge Server speaks it on 3478/udp and, framed, on 443/tcp.
//!
//! Source: the Open Specification MS-TURN, sections 2.2.1 to 2.2.3, and requirements H2, EV7, EV8, IV4
//! and IV5. The header (20 bytes, big-endian) is type, length of what follows it, and a transaction
//! id of 16 bytes; there is no cookie of RFC 5389. Attributes are type, length and value. A message
//! whose first attribute is not the magic cookie is ignored, so a Binding request of RFC 5389 gets no
//! answer at all. An Allocate request without credentials is answered by an error 401: the service is
//! alive, and nothing has been allocated.

use super::{Judgement, number};

/// What the answer must repeat.
pub type TransactionId = [u8; 16];

const HEADER: usize = 20;
const ALLOCATE_REQUEST: u16 = 0x0003;
const ALLOCATE_RESPONSE: u16 = 0x0103;
const ALLOCATE_ERROR: u16 = 0x0113;
const ERROR_CODE: u16 = 0x0009;
const MAGIC_COOKIE: u16 = 0x000F;
const MAGIC_COOKIE_VALUE: [u8; 4] = [0x72, 0xC6, 0x4B, 0xC6];
const UNAUTHORIZED: u16 = 401;

/// On a stream every message follows 4 bytes: type, 0, and the length of the message (MS-TURN 2.1.2).
const FRAME: usize = 4;
const CONTROL: u8 = 0x02;

/// An Allocate request without credentials.
pub fn request(id: &TransactionId) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 8);
    message.extend(ALLOCATE_REQUEST.to_be_bytes());
    message.extend(8_u16.to_be_bytes());
    message.extend(id);
    message.extend(MAGIC_COOKIE.to_be_bytes());
    message.extend((MAGIC_COOKIE_VALUE.len() as u16).to_be_bytes());
    message.extend(MAGIC_COOKIE_VALUE);
    message
}

/// The request as it goes over a stream.
pub fn framed_request(id: &TransactionId) -> Vec<u8> {
    let message = request(id);
    let mut framed = vec![CONTROL, 0];
    framed.extend((message.len() as u16).to_be_bytes());
    framed.extend(message);
    framed
}

/// Judges a datagram.
pub fn judge(message: &[u8], id: &TransactionId) -> Judgement {
    let (Some(kind), Some(length)) = (number(message, 0), number(message, 2)) else {
        return Judgement::bad("an answer that is too short for MS-TURN");
    };
    let Some(attributes) = message.get(HEADER..HEADER + usize::from(length)) else {
        return Judgement::bad("an MS-TURN answer that is cut off");
    };
    if message[4..HEADER] != *id {
        return Judgement::bad("an MS-TURN answer to another transaction");
    }
    match kind {
        // Without credentials it is generous, but it serves.
        ALLOCATE_RESPONSE => Judgement::Good(message.len()),
        ALLOCATE_ERROR => match error_code(attributes) {
            Some(UNAUTHORIZED) => Judgement::Good(message.len()),
            Some(code) => Judgement::Bad(format!("Allocate was answered by error {code}")),
            None => Judgement::bad("an Allocate error without an error code"),
        },
        kind => Judgement::Bad(format!(
            "Allocate was answered by a message of type {kind:#06x}"
        )),
    }
}

/// Judges what has come on a stream after the pseudo-TLS handshake.
pub fn judge_framed(bytes: &[u8], id: &TransactionId) -> Judgement {
    if let Some(kind) = bytes.first()
        && *kind != CONTROL
    {
        return Judgement::Bad(format!("a frame of type {kind:#04x}, not {CONTROL:#04x}"));
    }
    let Some(length) = number(bytes, 2) else {
        return Judgement::Incomplete;
    };
    let end = FRAME + usize::from(length);
    let Some(message) = bytes.get(FRAME..end) else {
        return Judgement::Incomplete;
    };
    match judge(message, id) {
        Judgement::Good(_) => Judgement::Good(end),
        other => other,
    }
}

/// The number in the attribute Error Code: two bytes of 0, the hundreds, the rest (MS-TURN 2.2.2.7).
fn error_code(mut attributes: &[u8]) -> Option<u16> {
    loop {
        let kind = number(attributes, 0)?;
        let length = usize::from(number(attributes, 2)?);
        let value = attributes.get(4..4 + length)?;
        if kind == ERROR_CODE {
            let [_, _, hundreds, rest, ..] = value else {
                return None;
            };
            return Some(u16::from(hundreds & 7) * 100 + u16::from(*rest));
        }
        // Padded to 4 bytes; the padding of the last may be left out.
        attributes = attributes.get(4 + length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: TransactionId = *b"0123456789abcdef";

    /// An answer with the cookie and what else there is.
    fn answer(kind: u16, attributes: &[u8]) -> Vec<u8> {
        let mut message = kind.to_be_bytes().to_vec();
        message.extend((8 + attributes.len() as u16).to_be_bytes());
        message.extend(ID);
        message.extend([0, 0x0F, 0, 4, 0x72, 0xC6, 0x4B, 0xC6]);
        message.extend(attributes);
        message
    }

    /// An error as an Edge Server sends it: the code with its phrase, which is padded, and the realm.
    fn error(hundreds: u8, rest: u8) -> Vec<u8> {
        let mut attributes = vec![0, 0x14, 0, 5];
        attributes.extend(b"realm\0\0\0");
        attributes.extend([0, 9, 0, 4 + 12, 0, 0, hundreds, rest]);
        attributes.extend(b"Unauthorized");
        answer(ALLOCATE_ERROR, &attributes)
    }

    #[test]
    fn the_request_is_an_allocate_whose_first_attribute_is_the_magic_cookie() {
        let mut expected = vec![0, 3, 0, 8];
        expected.extend(ID);
        expected.extend([0, 0x0F, 0, 4, 0x72, 0xC6, 0x4B, 0xC6]);
        assert_eq!(request(&ID), expected);
        assert_eq!(framed_request(&ID), [&[2, 0, 0, 28], &*expected].concat());
    }

    #[test]
    fn a_401_with_the_same_transaction_is_good() {
        let good = error(4, 1);
        assert_eq!(judge(&good, &ID), Judgement::Good(good.len()));
        let allocated = answer(ALLOCATE_RESPONSE, &[]);
        assert_eq!(judge(&allocated, &ID), Judgement::Good(allocated.len()));
    }

    #[test]
    fn everything_else_is_bad_and_says_what_it_is() {
        let mut other = ID;
        other[15] += 1;
        for (message, id, what) in [
            (
                error(4, 1),
                &other,
                "an MS-TURN answer to another transaction",
            ),
            (error(5, 0), &ID, "Allocate was answered by error 500"),
            (
                answer(ALLOCATE_ERROR, &[]),
                &ID,
                "an Allocate error without an error code",
            ),
            (
                answer(ALLOCATE_REQUEST, &[]),
                &ID,
                "Allocate was answered by a message of type 0x0003",
            ),
            (
                error(4, 1)[..24].to_vec(),
                &ID,
                "an MS-TURN answer that is cut off",
            ),
            (
                vec![1, 0x13],
                &ID,
                "an answer that is too short for MS-TURN",
            ),
        ] {
            assert_eq!(judge(&message, id), Judgement::bad(what));
        }
    }

    #[test]
    fn a_stream_may_bring_the_frame_in_pieces() {
        let message = error(4, 1);
        let mut framed = vec![CONTROL, 0];
        framed.extend((message.len() as u16).to_be_bytes());
        framed.extend(&message);
        for end in 0..framed.len() {
            let judged = judge_framed(&framed[..end], &ID);
            assert_eq!(judged, Judgement::Incomplete, "{end}");
        }
        assert_eq!(judge_framed(&framed, &ID), Judgement::Good(framed.len()));
        framed[0] = 0x16;
        assert_eq!(
            judge_framed(&framed, &ID),
            Judgement::bad("a frame of type 0x16, not 0x02")
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_judge_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            attributes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            judge(&bytes, &ID);
            judge_framed(&bytes, &ID);
            judge(&answer(ALLOCATE_ERROR, &attributes), &ID);
        }
    }
}
