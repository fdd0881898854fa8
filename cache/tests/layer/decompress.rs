//! Compressed layers of every format, and bombs.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use cache::layer::{Compression, Limits, decompress};

/// Runs one of the usual tools as a filter.
fn filter(command: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} runs: {error}", command[0]));
    let mut to = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || to.write_all(&input).expect("the tool reads"));
    let output = child.wait_with_output().expect("the tool ends");
    feeder.join().expect("fed");
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

fn expand(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut reader = decompress(bytes, limits).map_err(|error| error.to_string())?;
    reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

fn text() -> Vec<u8> {
    (0..20_000u32)
        .flat_map(|number| format!("{}\n", number.wrapping_mul(2_654_435_761)).into_bytes())
        .collect()
}

#[test]
fn every_format_also_in_several_pieces() {
    let text = text();
    let (front, back) = text.split_at(text.len() / 3);
    for (command, format) in [
        (&["gzip", "-c"][..], Compression::Gzip),
        (&["zstd", "-qc"], Compression::Zstd),
        (&["zstd", "-qc", "-19"], Compression::Zstd),
        (&["xz", "-c"], Compression::Xz),
        (&["bzip2", "-c"], Compression::Bzip2),
        (&["cat"], Compression::None),
    ] {
        let one = filter(command, &text);
        assert_eq!(Compression::of(&one[..6]), format, "{command:?}");
        assert!(expand(&one, &Limits::default()).expect("good data") == text, "{command:?}");
        let two = [filter(command, front), filter(command, back)].concat();
        assert!(expand(&two, &Limits::default()).expect("good data") == text, "{command:?} twice");
    }
}

#[test]
fn short_streams_are_passed_on() {
    for bytes in [&b""[..], b"a", b"\x1f", b"BZh", b"BZhx12345"] {
        assert_eq!(expand(bytes, &Limits::default()).as_deref(), Ok(bytes));
    }
}

#[test]
fn cut_or_damaged_streams_are_errors() {
    for command in [&["gzip", "-c"][..], &["zstd", "-qc", "--check"], &["xz", "-c"], &["bzip2", "-c"]] {
        let good = filter(command, &text());
        for cut in [good.len() / 2, good.len() - 1] {
            expand(&good[..cut], &Limits::default()).expect_err(&format!("{command:?} cut at {cut}"));
        }
        let mut damaged = good.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        expand(&damaged, &Limits::default()).expect_err(&format!("{command:?} damaged"));
    }
}

#[test]
fn bombs_are_cut_off() {
    let zeros = vec![0; 4 << 20];
    for command in [&["gzip", "-c"][..], &["zstd", "-qc"], &["xz", "-c"], &["bzip2", "-c"]] {
        let bomb = filter(command, &zeros);
        let limits = Limits { decompressed_bytes_max: 1 << 20, ..Limits::default() };
        let error = expand(&bomb, &limits).expect_err("a bomb");
        assert_eq!(error, "decompression gives more than 1048576 bytes", "{command:?}");
        let limits = Limits { ratio_max: 100, ratio_free_bytes: 1 << 20, ..Limits::default() };
        let error = expand(&bomb, &limits).expect_err("a bomb");
        assert!(error.starts_with("decompression gives more than 100 bytes for each one"), "{error}");
        assert!(expand(&bomb, &Limits::default()).expect("below the limits") == zeros);
    }
}

#[test]
fn windows_and_dictionaries_are_bounded() {
    let text = text();
    let wide = filter(&["zstd", "-qc", "--ultra", "--long=30", "-3"], &text);
    let limits = Limits { zstd_window_log_max: 20, ..Limits::default() };
    expand(&wide, &limits).expect_err("a window of 1 GiB");
    let xz = filter(&["xz", "-c", "-9"], &text);
    let limits = Limits { xz_memory_kib_max: 1 << 10, ..Limits::default() };
    expand(&xz, &limits).expect_err("a dictionary of 64 MiB");
    assert!(expand(&xz, &Limits::default()).expect("usual data") == text);
}
