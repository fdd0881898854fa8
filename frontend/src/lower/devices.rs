//! `RUN --device`.

use graph::Device;

use super::go_bool;
use crate::ast::Word;
use crate::diagnostic::Diagnostic;
use crate::suggest::nearest;
use crate::syntax::csv;

/// `NAME[,required[=BOOL]]` or `name=NAME,...`. The name may have an equals sign in it: `vendor.com/class=name`.
pub(super) fn lower(words: &[Word]) -> Result<Vec<Device>, Box<Diagnostic>> {
    words.iter().map(device).collect()
}

fn device(word: &Word) -> Result<Device, Box<Diagnostic>> {
    let wrong = |message: String| Box::new(Diagnostic::error("InvalidDevice", word.span.clone(), message));
    let known = |message: String, words: String| {
        Box::new(Diagnostic::error("InvalidDevice", word.span.clone(), message).with_buildkit(words))
    };
    let fields = csv(&word.value).ok_or_else(|| wrong("a quote in `--device` is not closed".to_owned()))?;
    let (mut name, mut required) = (None, false);
    for field in &fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), value, &name) {
            ("required", None, _) => required = true,
            ("required", Some(value), _) => {
                required = go_bool(value).ok_or_else(|| {
                    let message = format!("invalid value `{value}` for `required` in `--device`");
                    known(message, format!("invalid value for required: {value}"))
                })?;
            }
            ("name", Some(value), None) => name = Some(value.to_owned()),
            ("name", Some(_), Some(first)) => {
                let message = format!("`--device` has a name already: `{first}`");
                return Err(known(message, format!("device name already set to {first}")));
            }
            (_, _, None) => name = Some(field.clone()),
            (key, ..) => {
                let near = nearest(key, ["name", "required"]).map(|near| format!("did you mean `{near}`?"));
                let message = format!("`--device` has no key `{key}`");
                let words = match value {
                    Some(_) => format!("unexpected key '{key}' in '{field}'"),
                    None => format!("invalid field '{field}' must be a key=value pair"),
                };
                return Err(Box::new(known(message, words).with_help(near)));
            }
        }
    }
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Device { name, required }),
        None => Err(wrong("`--device` needs the name of a device: `--device=VENDOR/CLASS=NAME`".to_owned())),
    }
}
