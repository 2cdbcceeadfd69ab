//! As much of HTTP/1.1 as the lab's clients need: one request after the other on one connection.

use std::io::{BufRead, Read as _, Write};

use anyhow::{Context as _, Result, ensure};

/// Longest line of a header that is read (bytes).
const LONGEST_LINE: u64 = 8192;

/// Asks for a path.
pub fn ask(to: &mut impl Write, path: &str) -> Result<()> {
    // In one piece, so that it is one TLS record.
    let request = format!("GET {path} HTTP/1.1\r\nHost: edge.example\r\n\r\n");
    to.write_all(request.as_bytes())?;
    to.flush()?;
    Ok(())
}

/// Reads an answer and hands its body on, piece by piece.
pub fn answer(from: &mut impl BufRead, mut body: impl FnMut(&[u8])) -> Result<()> {
    let status = line(from)?;
    ensure!(status.starts_with("HTTP/1.1 200 "), "answered: {status}");
    let mut length = None;
    loop {
        let header = line(from)?;
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse::<usize>()?);
        }
    }
    let mut left = length.context("an answer without a length")?;
    while left > 0 {
        let piece = from.fill_buf()?;
        ensure!(!piece.is_empty(), "the answer ended {left} bytes early");
        let taken = piece.len().min(left);
        body(&piece[..taken]);
        from.consume(taken);
        left -= taken;
    }
    Ok(())
}

fn line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    from.take(LONGEST_LINE).read_line(&mut line)?;
    ensure!(
        line.ends_with('\n'),
        "the answer ended in its header: {line:?}"
    );
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        answer(&mut text.as_bytes(), |piece| body.extend_from_slice(piece))?;
        Ok(body)
    }

    #[test]
    fn an_answer_is_read_to_its_length_and_no_further() {
        let text = "HTTP/1.1 200 OK\r\nA: b\r\ncontent-LENGTH: 3\r\n\r\nabcHTTP/1.1";
        assert_eq!(read(text).expect("an answer"), b"abc");
    }

    #[test]
    fn what_is_no_whole_answer_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Len",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
