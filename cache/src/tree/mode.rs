//! Changes of permissions, as `--chmod` gives them: octal, or symbolic as in chmod(1).

/// A parsed `--chmod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

/// Why a text is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither an octal mode up to 7777 nor a symbolic one like `u=rwX,go=rX`")]
pub struct ModeError {
    /// The text as given.
    pub text: String,
}

/// One operator for some classes of users.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    /// All the bits that the clause may touch.
    who: u32,
    operator: Operator,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Permissions, and whether `X` is among them.
    Bits { bits: u32, conditional_execute: bool },
    /// The permissions that another class has, by the shift of its bits.
    SameAs { shift: u32 },
}

const MODE_MAX: u32 = 0o7777;
const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHER: u32 = 0o1007;
const EXECUTE: u32 = 0o111;

impl std::str::FromStr for ModeChange {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let error = || ModeError { text: text.to_owned() };
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let is_octal = text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= MODE_MAX);
            return mode.map(|mode| Self(Form::Octal(mode))).ok_or_else(error);
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            parse_part(part, &mut clauses).ok_or_else(error)?;
        }
        Ok(Self(Form::Symbolic(clauses)))
    }
}

/// Reads `[ugoa]*([-+=]([rwxXst]*|[ugo]))+`.
fn parse_part(part: &str, clauses: &mut Vec<Clause>) -> Option<()> {
    let operators = ['+', '-', '='];
    let start = part.find(operators)?;
    let mut who = 0;
    for class in part[..start].chars() {
        who |= match class {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHER,
            'a' => MODE_MAX,
            _ => return None,
        };
    }
    // Without a class all are meant; a build has no umask that would take some away.
    let who = if who == 0 { MODE_MAX } else { who };
    let mut rest = &part[start..];
    while let Some(operator) = rest.chars().next() {
        let operator = match operator {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            _ => Operator::Set,
        };
        let end = rest[1..].find(operators).map_or(rest.len(), |at| at + 1);
        clauses.push(Clause { who, operator, what: parse_what(&rest[1..end])? });
        rest = &rest[end..];
    }
    Some(())
}

fn parse_what(text: &str) -> Option<What> {
    match text {
        "u" => return Some(What::SameAs { shift: 6 }),
        "g" => return Some(What::SameAs { shift: 3 }),
        "o" => return Some(What::SameAs { shift: 0 }),
        _ => {}
    }
    let (mut bits, mut conditional_execute) = (0, false);
    for letter in text.chars() {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= EXECUTE,
            'X' => conditional_execute = true,
            's' => bits |= 0o6000,
            't' => bits |= 0o1000,
            _ => return None,
        }
    }
    Some(What::Bits { bits, conditional_execute })
}

impl ModeChange {
    /// The permissions, when they are the same for every file.
    pub fn octal(&self) -> Option<u32> {
        match &self.0 {
            Form::Octal(mode) => Some(*mode),
            Form::Symbolic(_) => None,
        }
    }

    /// The permissions that a file has afterwards.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match &self.0 {
            Form::Octal(mode) => *mode,
            Form::Symbolic(clauses) => {
                clauses.iter().fold(mode & MODE_MAX, |mode, clause| clause.apply(mode, is_directory))
            }
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let bits = match self.what {
            What::SameAs { shift } => (mode >> shift & 7) * EXECUTE,
            What::Bits { bits, conditional_execute } => {
                let executes = conditional_execute && (is_directory || mode & EXECUTE != 0);
                if executes { bits | EXECUTE } else { bits }
            }
        };
        // The sticky bit belongs to no class of users, so it goes with all or with others.
        let bits = bits & self.who;
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => mode & !self.who | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str, mode: u32, is_directory: bool) -> String {
        let change: ModeChange = text.parse().expect("a mode");
        format!("{:04o}", change.apply(mode, is_directory))
    }

    #[test]
    fn octal() {
        assert_eq!(change("644", 0o4755, false), "0644");
        assert_eq!(change("04755", 0, false), "4755");
        assert_eq!(change("0", 0o777, true), "0000");
    }

    #[test]
    fn symbolic() {
        assert_eq!(change("u=rwX,go=rX", 0o600, false), "0644");
        assert_eq!(change("u=rwX,go=rX", 0o600, true), "0755");
        assert_eq!(change("u=rwX,go=rX", 0o700, false), "0755");
        assert_eq!(change("+x", 0o644, false), "0755");
        assert_eq!(change("a-w", 0o777, false), "0555");
        assert_eq!(change("u+s,g+s,+t", 0o755, false), "7755");
        assert_eq!(change("ug+s", 0o755, false), "6755");
        assert_eq!(change("g=u", 0o640, false), "0660");
        assert_eq!(change("go-rwx", 0o777, false), "0700");
        assert_eq!(change("=", 0o777, false), "0000");
        assert_eq!(change("u=r+w-r", 0o777, false), "0277");
        assert_eq!(change("o=g", 0o750, true), "0755");
    }

    #[test]
    fn what_is_no_mode() {
        for wrong in ["", "8", "10000", "99", "u", "rwx", "z+x", "u+q", "u+x,", "u=rg", "644 ", "-1", "0x1f"]
        {
            assert!(wrong.parse::<ModeChange>().is_err(), "{wrong}");
        }
    }
}
