fn main() {
    let text = std::env::args().nth(1).unwrap_or_else(|| "banana".to_owned());
    let count = memchr::memchr_iter(b'a', text.as_bytes()).count();
    println!("{} a in {text}", itoa::Buffer::new().format(count));
}
