//! What `--chmod` accepts.

use nom::bytes::complete::take_while;
use nom::character::complete::one_of;
use nom::combinator::all_consuming;
use nom::multi::{many1_count, separated_list1};
use nom::{IResult, Parser};

/// Largest mode: all permissions, set-user-id, set-group-id and sticky bit.
const MODE_MAX: u32 = 0o7777;

/// Says what is wrong with a mode.
pub(super) fn check(mode: &str) -> Result<(), String> {
    if mode.bytes().all(|byte| byte.is_ascii_digit()) {
        return match u32::from_str_radix(mode, 8) {
            Ok(number) if number <= MODE_MAX => Ok(()),
            _ => Err(format!("invalid mode `{mode}`: octal modes are between 0 and 7777")),
        };
    }
    match symbolic(mode) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("invalid mode `{mode}`: neither octal nor like `u=rwX,go-w`")),
    }
}

/// What BuildKit says of a mode that is none.
pub(super) fn buildkit(mode: &str) -> String {
    if mode.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("invalid chmod parameter: '{mode}'. it should be octal string and between 0 and 07777")
    } else {
        "invalid syntax".to_owned()
    }
}

/// `[ugoa]*([-+=][rwxXst]*|[-+=][ugo])+`, several with commas, as in chmod(1).
fn symbolic(text: &str) -> IResult<&str, ()> {
    let who = take_while(|c| matches!(c, 'u' | 'g' | 'o' | 'a'));
    let permissions = take_while(|c| matches!(c, 'r' | 'w' | 'x' | 'X' | 's' | 't' | 'u' | 'g' | 'o'));
    let clause = (who, many1_count((one_of("+-="), permissions)));
    all_consuming(separated_list1(nom::character::complete::char(','), clause).map(|_| ())).parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_and_symbolic_modes() {
        for mode in ["0", "755", "07777", "u+x", "u=rwX,go-w", "+x", "a=r", "u+x-w", "o=u", "g=u"] {
            assert_eq!(check(mode), Ok(()), "{mode}");
        }
        for mode in ["8", "17777", "x", "u+y", "u+x,", "rwx", "", "-1z"] {
            assert!(check(mode).is_err() || mode.is_empty(), "{mode}");
        }
    }
}
