//! HTTP/1.1: a GET, judged by the status alone (RFC 9112).

use super::Judgement;

/// Lines of headers that are looked through; nobody sends more to a check.
const MAX_HEADERS: usize = 64;

/// A GET after which the server closes.
pub fn request(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: edgelb\r\nAccept: */*\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// Judges what has come so far; `good` says which statuses are those of good health.
pub fn judge(bytes: &[u8], good: impl Fn(u16) -> bool) -> Judgement {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    match (answer.parse(bytes), answer.code) {
        (Ok(httparse::Status::Complete(end)), Some(code)) if good(code) => Judgement::Good(end),
        (Ok(httparse::Status::Complete(_)), Some(code)) => Judgement::Bad(format!(
            "status {code} {}",
            answer.reason.unwrap_or_default()
        )),
        (Ok(_), _) => Judgement::Incomplete,
        (Err(error), _) => Judgement::Bad(format!("an answer that is no HTTP: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";

    #[test]
    fn a_get_names_host_and_path_and_asks_to_close() {
        assert_eq!(
            request("web.example", "/health?deep=1"),
            b"GET /health?deep=1 HTTP/1.1\r\nHost: web.example\r\nUser-Agent: edgelb\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn the_status_decides_once_the_head_is_there() {
        for end in 0..OK.len() {
            assert_eq!(judge(&OK[..end], |_| true), Judgement::Incomplete, "{end}");
        }
        assert_eq!(judge(OK, |code| code == 200), Judgement::Good(OK.len()));
        assert_eq!(
            judge(OK, |code| code == 204),
            Judgement::bad("status 200 OK")
        );
        let judged = judge(b"SSH-2.0-OpenSSH_9.2\r\n", |_| true);
        assert!(matches!(judged, Judgement::Bad(_)), "{judged:?}");
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_judge_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            judge(&bytes, |_| true);
        }
    }
}
