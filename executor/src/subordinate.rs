//! The id ranges that belong to a user: `/etc/subuid` and `/etc/subgid`.

/// Most ranges that one map can have besides the user's own id: a kernel page held 340 lines of it at once.
const RANGES_MAX: usize = 339;

/// A range of ids of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// One of the two kinds of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Users,
    Groups,
}

impl Which {
    fn file(self) -> &'static str {
        match self {
            Self::Users => "/etc/subuid",
            Self::Groups => "/etc/subgid",
        }
    }

    /// The set-user-id program that writes the map.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Users => "newuidmap",
            Self::Groups => "newgidmap",
        }
    }

    /// The ranges of a user, or why there are none.
    pub(crate) fn ranges(self, uid: u32) -> Result<Vec<Range>, String> {
        let file = self.file();
        let text = std::fs::read_to_string(file).map_err(|error| format!("`{file}`: {error}"))?;
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        // A directory service may know the user; the mapping program checks what we say.
        let name = name_of(&passwd, uid).map(String::from).or_else(|| std::env::var("USER").ok());
        let ranges = parse(&text, name.as_deref(), uid);
        if ranges.is_empty() { Err(format!("`{file}` has no range for user {uid}")) } else { Ok(ranges) }
    }
}

/// The lines `NAME_OR_ID:FIRST:COUNT` of this user.
fn parse(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let uid = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let (owner, range) = line.trim().split_once(':')?;
            let (first, count) = range.split_once(':')?;
            let range = Range { first: first.parse().ok()?, count: count.parse().ok()? };
            let is_own = (Some(owner) == name || owner == uid) && range.count > 0;
            is_own.then_some(range)
        })
        .take(RANGES_MAX)
        .collect()
}

fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_by_name_and_by_number() {
        let text = "root:1:5\nann:100000:65536\n1000:300000:10\nann:bad:1\nanna:7:7\nann:5:0\n";
        let ranges = parse(text, Some("ann"), 1000);
        assert_eq!(ranges, [Range { first: 100_000, count: 65536 }, Range { first: 300_000, count: 10 }]);
    }

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000), Some("ann"));
        assert_eq!(name_of(passwd, 1001), None);
    }
}
