//! Owners, as BuildKit writes them.

use super::json::{Dialect, Object};

/// `USER[:GROUP]` as an object. Names are looked up in the input with this number.
pub(super) fn owner(dialect: Dialect, written: &str, input: i64) -> Object {
    let (user, group) = match written.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (written, None),
    };
    Object::new()
        .object("user", Some(account(dialect, user, input)))
        .object("group", group.map(|group| account(dialect, group, input)))
}

/// Both by number.
pub(super) fn owner_by_id(dialect: Dialect, user: u32, group: u32) -> Object {
    let account = |id: u32| Object::new().object("User", Some(by_id(dialect, id)));
    Object::new().object("user", Some(account(user))).object("group", Some(account(group)))
}

fn account(dialect: Dialect, written: &str, input: i64) -> Object {
    let id = match written {
        // No name at all is the number 0.
        "root" | "" => Some(0),
        number => number.parse::<i32>().ok(),
    };
    let account = match id {
        Some(id) => by_id(dialect, id.cast_unsigned()),
        None => {
            let name = Object::new().text("name", written).index(dialect, "input", input);
            Object::new().object("byName", Some(name))
        }
    };
    Object::new().object("User", Some(account))
}

fn by_id(dialect: Dialect, id: u32) -> Object {
    let name = match dialect {
        Dialect::Early => "byID",
        Dialect::Late => "byId",
    };
    Object::new().number(name, i64::from(id))
}
