//! SIP: an OPTIONS request over a stream (RFC 3261 sections 11 and 7).
//!
//! `Max-Forwards: 0` keeps the request with the server that is asked (section 16.3): it says whether
//! this server is alive, and not whether it can reach another.

use std::{net::SocketAddr, str};

use bytes::Bytes;
use ezk_sip_types::{
    Headers, Method, Name,
    header::typed::{CSeq, CallID, ContentLength, MaxForwards},
    host::{Host, HostPort},
    msg::{Line, MessageLine, PullParser, RequestLine, StatusLine},
    parse::Parse as _,
    print::{AppendCtx as _, PrintCtx},
    uri::SipUri,
};

use super::Judgement;

/// Who asks whom, and by what.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The end of the connection here.
    pub from: SocketAddr,
    /// The end at the server.
    pub to: SocketAddr,
    /// Whether the connection is one of TLS.
    pub tls: bool,
    /// Unique to this request; makes Call-ID, branch and tag.
    pub token: &'a str,
}

impl Question<'_> {
    fn call_id(&self) -> String {
        format!("{}@{}", self.token, self.from.ip())
    }

    /// The OPTIONS request.
    pub fn request(&self) -> Vec<u8> {
        let Self {
            from, to, token, ..
        } = self;
        let (transport, parameter) = if self.tls {
            ("TLS", "tls")
        } else {
            ("TCP", "tcp")
        };
        let mut headers = Headers::new();
        headers.insert(
            Name::VIA,
            // Branches that identify a transaction begin so (section 8.1.1.7).
            format!("SIP/2.0/{transport} {from};branch=z9hG4bK{token}"),
        );
        headers.insert_named(&MaxForwards(0));
        headers.insert(
            Name::FROM,
            format!("<sip:edgelb@{}>;tag={token}", from.ip()),
        );
        headers.insert(Name::TO, format!("<sip:{to};transport={parameter}>"));
        headers.insert_named(&CallID::new(self.call_id()));
        headers.insert_named(&CSeq::new(1, Method::OPTIONS));
        headers.insert(
            Name::CONTACT,
            format!("<sip:edgelb@{from};transport={parameter}>"),
        );
        headers.insert(Name::USER_AGENT, "edgelb");
        headers.insert_named(&ContentLength(0));
        let line = MessageLine::Request(RequestLine {
            method: Method::OPTIONS,
            uri: uri(*to),
        });
        format!("{}\r\n{headers}\r\n", line.print_ctx(PrintCtx::default())).into_bytes()
    }

    /// Judges what has come so far; `good` says which statuses are those of good health.
    pub fn judge(&self, bytes: &[u8], good: impl Fn(u16) -> bool) -> Judgement {
        // Keep-alives between messages (RFC 5626 section 3.5.1).
        let start = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let begun = &bytes[start..];
        let known = begun.len().min(7);
        if begun[..known] != b"SIP/2.0"[..known] {
            return Judgement::bad("an answer that is no SIP response");
        }
        // The parser makes pieces of this very buffer.
        let head = Bytes::copy_from_slice(begun);
        let mut lines = PullParser::new(&head, 0);
        if lines.clone().any(|line| line.is_err()) {
            return Judgement::Incomplete;
        }
        let Some(status) = lines.next().and_then(|line| status(&head, line.ok()?)) else {
            return Judgement::bad("an answer that is no SIP response");
        };
        let headers = headers(&head, &mut lines);
        let end = start + lines.head_end();
        let ours = headers
            .get_named::<CallID>()
            .is_ok_and(|id| *id.0 == *self.call_id())
            && headers
                .get_named::<CSeq>()
                .is_ok_and(|cseq| cseq == CSeq::new(1, Method::OPTIONS));
        if !ours {
            return Judgement::bad("a SIP response to another request");
        }
        match status.code.into_u16() {
            // Provisional: the final one comes.
            100..200 => match self.judge(&bytes[end..], good) {
                Judgement::Good(more) => Judgement::Good(end + more),
                other => other,
            },
            code if good(code) => Judgement::Good(end),
            code => Judgement::Bad(format!("OPTIONS was answered by {}", text(code, &status))),
        }
    }
}

fn uri(to: SocketAddr) -> SipUri {
    SipUri::new(HostPort {
        host: Host::from(to.ip()),
        port: Some(to.port()),
    })
}

fn status(head: &Bytes, line: &[u8]) -> Option<StatusLine> {
    let (_, status) = StatusLine::parse(head)(str::from_utf8(line).ok()?).ok()?;
    Some(status)
}

/// Every header that is one; what is none is left out, as it says nothing of the server's health.
fn headers(head: &Bytes, lines: &mut PullParser) -> Headers {
    let mut headers = Headers::new();
    for line in lines.by_ref() {
        let Some(text) = line.ok().and_then(|line| str::from_utf8(line).ok()) else {
            continue;
        };
        if let Ok((_, line)) = Line::parse(head, text) {
            headers.insert(line.name, line.value);
        }
    }
    headers
}

fn text(code: u16, status: &StatusLine) -> String {
    let reason = status.reason.as_deref();
    format!("{code} {}", reason.unwrap_or_default())
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(tls: bool) -> Question<'static> {
        Question {
            from: SocketAddr::from(([203, 0, 113, 10], 64_600)),
            to: SocketAddr::from(([203, 0, 113, 11], 5061)),
            tls,
            token: "f00d",
        }
    }

    fn answer(status: &str, call: &str, cseq: &str) -> Vec<u8> {
        format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/TCP 203.0.113.10:64600\r\n ;branch=z9hG4bKf00d\r\ni: {call}\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn ours(status: &str) -> Vec<u8> {
        answer(status, "f00d@203.0.113.10", "1 OPTIONS")
    }

    fn below_500(code: u16) -> bool {
        code < 500
    }

    #[test]
    fn the_request_is_an_options_that_stays_with_the_server() {
        let text = String::from_utf8(question(false).request()).expect("SIP is text");
        assert_eq!(
            text,
            "OPTIONS sip:203.0.113.11:5061 SIP/2.0\r\n\
             Via: SIP/2.0/TCP 203.0.113.10:64600;branch=z9hG4bKf00d\r\n\
             Max-Forwards: 0\r\n\
             From: <sip:edgelb@203.0.113.10>;tag=f00d\r\n\
             To: <sip:203.0.113.11:5061;transport=tcp>\r\n\
             Call-ID: f00d@203.0.113.10\r\n\
             CSeq: 1 OPTIONS\r\n\
             Contact: <sip:edgelb@203.0.113.10:64600;transport=tcp>\r\n\
             User-Agent: edgelb\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let text = String::from_utf8(question(true).request()).expect("SIP is text");
        assert!(text.contains("Via: SIP/2.0/TLS ") && text.contains(";transport=tls>"));
    }

    #[test]
    fn a_final_response_is_judged_by_its_status() {
        for (status, judged) in [
            ("200 OK", None),
            ("483 Too Many Hops", None),
            (
                "503 Service Unavailable",
                Some("OPTIONS was answered by 503 Service Unavailable"),
            ),
            ("600", Some("OPTIONS was answered by 600")),
        ] {
            let bytes = ours(status);
            let expected = judged.map_or(Judgement::Good(bytes.len()), Judgement::bad);
            assert_eq!(question(false).judge(&bytes, below_500), expected);
        }
    }

    #[test]
    fn a_stream_may_bring_keep_alives_provisional_responses_and_pieces() {
        let bytes = [b"\r\n\r\n".to_vec(), ours("100 Trying"), ours("200 OK")].concat();
        for end in 0..bytes.len() {
            let judged = question(false).judge(&bytes[..end], below_500);
            assert_eq!(judged, Judgement::Incomplete, "{end}");
        }
        assert_eq!(
            question(false).judge(&bytes, below_500),
            Judgement::Good(bytes.len())
        );
    }

    #[test]
    fn what_answers_something_else_is_bad() {
        const OTHER: &str = "a SIP response to another request";
        const NONE: &str = "an answer that is no SIP response";
        for (bytes, what) in [
            (answer("200 OK", "beef@203.0.113.10", "1 OPTIONS"), OTHER),
            (answer("200 OK", "f00d@203.0.113.10", "2 OPTIONS"), OTHER),
            (answer("200 OK", "f00d@203.0.113.10", "1 INVITE"), OTHER),
            (b"SIP/2.0 what\r\n\r\n".to_vec(), NONE),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), NONE),
            (b"\x15\x03\x03".to_vec(), NONE),
        ] {
            assert_eq!(
                question(false).judge(&bytes, below_500),
                Judgement::bad(what)
            );
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_judge_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            text in "(SIP/2\\.0|200|1|OPTIONS|CSeq|i|Call-ID|:|[ \t\r\n]|\r\n|\r\n\r\n|é){0,30}",
        ) {
            question(false).judge(&bytes, below_500);
            question(false).judge(text.as_bytes(), below_500);
            question(false).judge(format!("SIP/2.0 {text}\r\n\r\n").as_bytes(), below_500);
        }
    }
}
