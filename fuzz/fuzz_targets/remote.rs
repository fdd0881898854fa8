//! URLs of files and repositories: never a panic, and whatever is accepted is no option and leads nowhere else.
#![no_main]

use frontend::remote::{GitReference, Remote, check_repository, of_context};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(Ok(remote)) = of_context(text) else { return };
    match remote {
        Remote::Http(source) => assert!(source.url.starts_with("http")),
        Remote::Git(GitReference { source, .. }) => {
            check_repository(&source.remote).expect("what a context names is a repository");
            for part in [&source.remote, &source.reference] {
                assert!(!part.starts_with('-'));
                assert!(!part.contains(char::is_control));
            }
            assert!(!source.reference.starts_with('+') && !source.reference.contains([':', '*']));
            assert!(source.subdirectory.split('/').all(|part| part != ".."));
            assert!(!source.subdirectory.starts_with('/'));
        }
    }
});
