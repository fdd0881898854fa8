use graph::GitTimes;

use super::*;

/// What a build context is taken for, in a line.
fn read(text: &str) -> String {
    match of_context(text) {
        None => "local".to_owned(),
        Some(Err(error)) => format!("error: {error}"),
        Some(Ok(Remote::Http(http))) => format!("file {} as {:?}", http.url, file_name(&http.url)),
        Some(Ok(Remote::Git(GitReference { source, keep_git_dir }))) => {
            let mut line = format!("git {}", source.remote);
            line.push_str(&format!(" [{}] [{}]", source.reference, source.subdirectory));
            line.extend(source.checksum.map(|checksum| format!(" is {checksum}")));
            line.extend(keep_git_dir.map(|keeps| format!(" keep {keeps}")));
            line.push_str(if source.submodules { "" } else { " alone" });
            line.push_str(if source.fetch_by_commit { " by commit" } else { "" });
            line.push_str(if source.times == GitTimes::Checkout { " at checkout" } else { "" });
            line
        }
    }
}

fn table(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("{text}\n    {}\n", read(text))).collect()
}

#[test]
fn repositories_and_files_are_told_apart_as_in_buildkit() {
    insta::assert_snapshot!(table(&[
        ".",
        "./https://host/a.git",
        "dir@v1/sub",
        "C:/Users/x",
        "file:///etc/passwd",
        "ext::sh -c id",
        "https://host/a.tar.gz",
        "https://host/a.git",
        "https://host/a.git/tree",
        "HTTPS://host/a.git#main",
        "http://host/a.git?x.tar",
        "git://host/a",
        "ssh://git@host:22/a#v1:docs",
        "git@github.com:me/a.git#v1",
        "other-user@host.example:a",
        "github.com/me/a",
        "github.com/me/a.git#main:docs",
        "gitlab.com/me/a.git",
    ]), @r#"
    .
        local
    ./https://host/a.git
        local
    dir@v1/sub
        local
    C:/Users/x
        local
    file:///etc/passwd
        local
    ext::sh -c id
        local
    https://host/a.tar.gz
        file https://host/a.tar.gz as Some("a.tar.gz")
    https://host/a.git
        git https://host/a.git [] []
    https://host/a.git/tree
        file https://host/a.git/tree as Some("tree")
    HTTPS://host/a.git#main
        git https://host/a.git [main] []
    http://host/a.git?x.tar
        error: unexpected query `x.tar`, expected branch, checksum, commit, fetch-by-commit, keep-git-dir, mtime, ref, subdir, submodules or tag
    git://host/a
        git git://host/a [] []
    ssh://git@host:22/a#v1:docs
        git ssh://git@host:22/a [v1] [docs]
    git@github.com:me/a.git#v1
        git git@github.com:me/a.git [v1] []
    other-user@host.example:a
        git other-user@host.example:a [] []
    github.com/me/a
        git https://github.com/me/a [] []
    github.com/me/a.git#main:docs
        git https://github.com/me/a.git [main] [docs]
    gitlab.com/me/a.git
        local
    "#);
}

#[test]
fn fragments_and_queries_say_which_files() {
    insta::assert_snapshot!(table(&[
        "https://host/a.git#main",
        "https://host/a.git#:docs",
        "https://host/a.git#refs/pull/7/head:/docs/",
        "https://host/a.git#feature/x:a/./b/../c",
        "https://host/a.git?branch=main&subdir=docs%20old",
        "https://host/a.git?tag=v1&keep-git-dir",
        "https://host/a.git?tag=refs/tags/v1&submodules=0&keep-git-dir=false",
        "https://host/a.git?commit=0123456789abcdef0123456789abcdef01234567",
        "https://host/a.git?checksum=0123456#main",
        "https://host/a.git?mtime=checkout&fetch-by-commit&checksum=0123456789abcdef0123456789abcdef01234567#main",
        "https://host/a.git?mtime=commit&fetch-by-commit=false&commit=0#main",
        "https://host/a.git?ref=main#main:docs",
        "git@host:a.git?branch=x#:sub",
    ]), @"
    https://host/a.git#main
        git https://host/a.git [main] []
    https://host/a.git#:docs
        git https://host/a.git [] [docs]
    https://host/a.git#refs/pull/7/head:/docs/
        git https://host/a.git [refs/pull/7/head] [docs]
    https://host/a.git#feature/x:a/./b/../c
        git https://host/a.git [feature/x] [a/c]
    https://host/a.git?branch=main&subdir=docs%20old
        git https://host/a.git [refs/heads/main] [docs old]
    https://host/a.git?tag=v1&keep-git-dir
        git https://host/a.git [refs/tags/v1] [] keep true
    https://host/a.git?tag=refs/tags/v1&submodules=0&keep-git-dir=false
        git https://host/a.git [refs/tags/v1] [] keep false alone
    https://host/a.git?commit=0123456789abcdef0123456789abcdef01234567
        git https://host/a.git [0123456789abcdef0123456789abcdef01234567] [] is 0123456789abcdef0123456789abcdef01234567
    https://host/a.git?checksum=0123456#main
        git https://host/a.git [main] [] is 0123456
    https://host/a.git?mtime=checkout&fetch-by-commit&checksum=0123456789abcdef0123456789abcdef01234567#main
        git https://host/a.git [main] [] is 0123456789abcdef0123456789abcdef01234567 by commit at checkout
    https://host/a.git?mtime=commit&fetch-by-commit=false&commit=0#main
        git https://host/a.git [main] [] is 0
    https://host/a.git?ref=main#main:docs
        git https://host/a.git [main] [docs]
    git@host:a.git?branch=x#:sub
        git git@host:a.git [refs/heads/x] [sub]
    ");
}

#[test]
fn what_cannot_be_is_refused() {
    insta::assert_snapshot!(table(&[
        "https://host/a.git#--upload-pack=touch",
        "https://host/a.git#+main",
        "https://host/a.git?ref=a:b",
        "https://host/a.git#a..b",
        "https://host/a.git#main:../../etc",
        "https://host/a.git#main:a/../../etc",
        "https://host/a.git?subdir=%2e%2e/etc",
        "https://host/a.git?branch=a&tag=b",
        "https://host/a.git?ref=a#b",
        "https://host/a.git?branch=a&branch=a",
        "https://host/a.git?branch",
        "https://host/a.git?depth=1",
        "https://host/a.git?submodules=maybe",
        "https://host/a.git?commit=HEAD",
        "https://host/a.git?mtime=now",
        "https://host/a.git?mtime",
        "https://host/a.git?fetch-by-commit=1",
        "https://host/a.git?fetch-by-commit=1&checksum=0123456#main",
        "https://me:secret@/a.git",
        "https:///a.git",
        "https://-x/a.tar",
        "ssh://-oProxyCommand=id/a",
        "ssh://-oProxyCommand=id@host/a",
        "ssh://host%20x/a",
        "-oProxyCommand@host:a",
        "git@-oProxyCommand:a",
        "git@host:-a",
        "https://host/a b.git",
        "git@host:a\nb",
    ]), @"
    https://host/a.git#--upload-pack=touch
        error: `--upload-pack=touch` cannot be a git reference
    https://host/a.git#+main
        error: `+main` cannot be a git reference
    https://host/a.git?ref=a:b
        error: `a:b` cannot be a git reference
    https://host/a.git#a..b
        error: `a..b` cannot be a git reference
    https://host/a.git#main:../../etc
        error: the subdirectory `../../etc` leads out of the repository
    https://host/a.git#main:a/../../etc
        error: the subdirectory `a/../../etc` leads out of the repository
    https://host/a.git?subdir=%2e%2e/etc
        error: the subdirectory `../etc` leads out of the repository
    https://host/a.git?branch=a&tag=b
        error: ref conflicts: `refs/heads/a` and `refs/tags/b`
    https://host/a.git?ref=a#b
        error: ref conflicts: `b` and `a`
    https://host/a.git?branch=a&branch=a
        error: query `branch` has multiple values
    https://host/a.git?branch
        error: query `branch` has no value
    https://host/a.git?depth=1
        error: unexpected query `depth`, expected branch, checksum, commit, fetch-by-commit, keep-git-dir, mtime, ref, subdir, submodules or tag
    https://host/a.git?submodules=maybe
        error: invalid submodules value: `maybe`, expected true or false
    https://host/a.git?commit=HEAD
        error: `HEAD` is no commit: it is 1 to 64 of the digits 0-9 and a-f
    https://host/a.git?mtime=now
        error: invalid mtime value: `now`, expected checkout or commit
    https://host/a.git?mtime
        error: query `mtime` has no value
    https://host/a.git?fetch-by-commit=1
        error: query `fetch-by-commit` needs a query `checksum` with all digits of a commit
    https://host/a.git?fetch-by-commit=1&checksum=0123456#main
        error: query `fetch-by-commit` needs a query `checksum` with all digits of a commit
    https://me:secret@/a.git
        error: `https://xxxxx:xxxxx@/a.git` has no valid host
    https:///a.git
        error: `https:///a.git` has no valid host
    https://-x/a.tar
        error: `https://-x/a.tar` has no valid host
    ssh://-oProxyCommand=id/a
        error: `ssh://-oProxyCommand=id/a` has no valid host
    ssh://-oProxyCommand=id@host/a
        error: `ssh://-oProxyCommand=id@host/a` has no valid host
    ssh://host%20x/a
        error: `ssh://host%20x/a` has no valid host
    -oProxyCommand@host:a
        error: `-oProxyCommand@host:a` has no valid host
    git@-oProxyCommand:a
        error: `git@-oProxyCommand:a` has no valid host
    git@host:-a
        error: `git@host:-a` has no valid host
    https://host/a b.git
        error: `https://host/a b.git` has characters that no URL has
    git@host:a
    b
        error: `git@host:a
    b` has characters that no URL has
    ");
}

#[test]
fn files_are_named_after_the_end_of_the_path() {
    for (url, expected) in [
        ("https://host/a/b.tar.gz?x=/y#z", Some("b.tar.gz")),
        ("https://host/a%20b", Some("a b")),
        ("https://host/a%2fb", Some("b")),
        ("https://host/a/", Some("a")),
        ("https://host/100%", Some("100%")),
        ("https://host", None),
        ("https://host/", None),
        ("https://host?a", None),
        ("https://host/%2e%2e", None),
        ("https://host/a%00b", None),
        ("https://host/%ff", None),
    ] {
        assert_eq!(file_name(url).as_deref(), expected, "{url}");
    }
}
