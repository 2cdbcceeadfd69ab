//! STUN: a Binding request (RFC 5389 section 7.1; RFC 8489 section 6.2.1), over UDP or a stream.

use stun_types::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite as _, MessageWriteVec, TransactionId,
};

use super::{Judgement, number};

/// A Binding request of a new transaction.
pub fn request() -> (Vec<u8>, TransactionId) {
    let id = TransactionId::generate();
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    let message = Message::builder(kind, id, MessageWriteVec::new());
    (message.finish(), id)
}

/// Judges what has come: over UDP a datagram, over a stream what there is so far. The header has 20
/// bytes and, at 2, the length of what follows it.
pub fn judge(bytes: &[u8], id: TransactionId) -> Judgement {
    let Some(message) = number(bytes, 2).and_then(|length| bytes.get(..20 + usize::from(length)))
    else {
        return Judgement::Incomplete;
    };
    let answer = match Message::from_bytes(message) {
        Ok(answer) => answer,
        Err(error) => return Judgement::Bad(format!("an answer that is no STUN: {error}")),
    };
    if answer.transaction_id() != id || !answer.is_response() {
        return Judgement::bad("a STUN message that is no answer to the Binding request");
    }
    if answer.has_method(BINDING) && answer.has_class(MessageClass::Success) {
        Judgement::Good(message.len())
    } else {
        Judgement::Bad(format!("Binding was answered by {}", answer.get_type()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(class: MessageClass, id: TransactionId) -> Vec<u8> {
        let kind = MessageType::from_class_method(class, BINDING);
        Message::builder(kind, id, MessageWriteVec::new()).finish()
    }

    #[test]
    fn a_binding_request_has_nothing_but_a_header() {
        let (request, id) = request();
        assert_eq!(request[..8], [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
        assert_eq!(request.len(), 20);
        assert_ne!(id, super::request().1);
    }

    #[test]
    fn a_success_with_the_same_transaction_is_good() {
        let id = TransactionId::generate();
        let good = answer(MessageClass::Success, id);
        assert_eq!(judge(&good, id), Judgement::Good(20));
        for end in 0..good.len() {
            assert_eq!(judge(&good[..end], id), Judgement::Incomplete);
        }
    }

    #[test]
    fn everything_else_is_bad() {
        let id = TransactionId::generate();
        let other = answer(MessageClass::Success, TransactionId::generate());
        for (bytes, what) in [
            (
                other,
                "a STUN message that is no answer to the Binding request",
            ),
            (
                answer(MessageClass::Request, id),
                "a STUN message that is no answer to the Binding request",
            ),
        ] {
            assert_eq!(judge(&bytes, id), Judgement::bad(what));
        }
        for bytes in [answer(MessageClass::Error, id), vec![0xFF; 20 + 0xFFFF]] {
            let judged = judge(&bytes, id);
            assert!(matches!(judged, Judgement::Bad(_)), "{judged:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_judge_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            judge(&bytes, TransactionId::from(1));
        }
    }
}
