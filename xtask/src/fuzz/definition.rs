//! Definitions in BuildKit's LLB, as protobuf: <https://github.com/moby/buildkit/blob/master/solver/pb/ops.proto>.
//!
//! Where an operation has a digest for an input, the target puts that of an operation in front of it: the length of the text
//! says of which.

/// A message in the making.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        const LENGTH_DELIMITED: u64 = 2;
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend(bytes.as_ref());
        self
    }

    fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, message.0)
    }

    fn number(mut self, field: u64, number: i64) -> Self {
        self.varint(field << 3);
        self.varint(number.cast_unsigned());
        self
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

fn new() -> Message {
    Message::default()
}

/// An operation on the results of those in front of it; `kind` is its field.
fn operation(kind: u64, content: Message, inputs: &[usize]) -> Message {
    let input = |message: Message, input: &usize| message.message(1, new().bytes(1, "x".repeat(*input)));
    inputs.iter().fold(new(), input).message(kind, content)
}

fn source(identifier: &str, attributes: &[(&str, &str)]) -> Message {
    let attribute = |message: Message, (name, value): &(&str, &str)| {
        message.message(2, new().bytes(1, name).bytes(2, value))
    };
    operation(3, attributes.iter().fold(new().bytes(1, identifier), attribute), &[])
}

/// A process on the result of the first operation, with more mounts.
fn process(mounts: &[Message], inputs: &[usize]) -> Message {
    let meta = new().bytes(1, "/bin/sh").bytes(1, "-c").bytes(1, "true").bytes(2, "A=b").bytes(3, "/");
    let root = new().bytes(3, "/");
    let content = new().message(1, meta).message(2, root);
    operation(2, mounts.iter().fold(content, |message, mount| message.message(2, mount.clone())), inputs)
}

/// A mount of a kind, with the options of that kind in their field.
fn mount(kind: i64, field: u64, options: Message) -> Message {
    new().number(1, -1).bytes(3, "/mnt").number(4, -1).number(6, kind).message(field, options)
}

/// File operations, one on what the other leaves.
fn files(actions: &[(u64, Message)], inputs: &[usize]) -> Message {
    let last = actions.len() - 1;
    let action = |message: Message, (place, (kind, content)): (usize, &(u64, Message))| {
        let input = if place == 0 { 0 } else { inputs.len() + place - 1 };
        let output = if place == last { 0 } else { -1 };
        let secondary = if inputs.len() > 1 { 1 } else { -1 };
        let placed = new().number(1, input as i64).number(2, secondary).number(3, output);
        message.message(2, placed.message(*kind, content.clone()))
    };
    operation(4, actions.iter().enumerate().fold(new(), action), inputs)
}

/// The last operation only names the result.
fn definition(operations: &[Message]) -> Vec<u8> {
    let end = new().message(1, new().bytes(1, "x".repeat(operations.len() - 1)));
    operations.iter().chain([&end]).fold(new(), |message, it| message.bytes(1, &it.0)).0
}

/// Definitions, each with another operation.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let image = source("docker-image://docker.io/library/busybox:latest", &[("image.resolvemode", "local")]);
    let context = source("local://context", &[("local.followpaths", "[\"a\"]")]);
    let copy = new().bytes(1, "/a").bytes(2, "/b/").number(4, -1).number(6, 1).number(8, 1).number(11, -1);
    let make_file = new().bytes(1, "/f").number(2, 0o644).bytes(3, "text").number(5, -1);
    let make_directory = new().bytes(1, "/d/e").number(2, 0o755).number(3, 1).number(5, -1);
    let remove = new().bytes(1, "/x*").number(2, 1).number(3, 1);
    let symlink = new().bytes(1, "/a").bytes(2, "/l").number(4, 1);
    let cache = mount(3, 20, new().bytes(1, "cache").number(2, 1));
    let secret = mount(1, 21, new().bytes(1, "secret").number(4, 0o400));
    let agent = mount(2, 22, new().bytes(1, "default").number(5, 1));
    let memory = mount(4, 19, new().number(1, 1 << 20));
    let other = new().number(1, 1).bytes(2, "/part").bytes(3, "/other").number(4, 1).number(5, 1);
    let http = source("https://example.org/a.tar", &[("http.checksum", "sha256:00"), ("http.perm", "420")]);
    let git = source("git://example.org/a.git#main:dir", &[("git.fullurl", "https://example.org/a.git")]);
    let merge = operation(6, new().message(1, new().number(1, 0)).message(1, new().number(1, 1)), &[0, 1]);
    let diff = operation(7, new().message(1, new().number(1, 0)).message(2, new().number(1, 1)), &[0, 1]);
    let base = &image;
    [
        vec![image.clone()],
        vec![image.clone(), process(&[], &[0])],
        vec![image.clone(), process(&[cache, secret, agent, memory], &[0])],
        vec![image.clone(), context.clone(), process(&[other], &[0, 1])],
        vec![image.clone(), context.clone(), files(&[(4, copy)], &[0, 1])],
        vec![base.clone(), files(&[(5, make_file), (6, make_directory), (7, remove), (8, symlink)], &[0])],
        vec![http],
        vec![git],
        vec![image.clone(), context.clone(), merge],
        vec![image, context, diff],
    ]
    .iter()
    .map(|operations| definition(operations))
    .collect()
}
