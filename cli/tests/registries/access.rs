//! Passwords, certificates, mirrors.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use crate::server::{Access, Registry};
use crate::support::Home;

/// Runs a command in a home directory of its own, with an input.
fn run(home: &Home, arguments: &[&str], input: &str) -> Output {
    let mut command = home.command(arguments);
    command.env("HOME", home.path("")).env("PATH", format!("{}:/usr/bin:/bin", home.path("bin").display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn shown(registry: &Registry, home: &Home, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let text = format!("{} {}{}", output.status, text(&output.stdout), text(&output.stderr));
    registry.settled(&text.replace(home.path("").to_str().unwrap(), "[home]/"))
}

#[test]
fn login_opens_a_registry_and_logout_closes_it() {
    let (home, registry) = (Home::new(), Registry::with(Access::Password));
    let name = registry.name("base");
    home.ok(&["tag", "base", &name]);
    let authority = registry.authority.as_str();
    insta::assert_snapshot!(shown(&registry, &home, &run(&home, &["push", &name], "")), @"
    exit status: 1 Using default tag: latest
    The push refers to repository [[registry]/base]
    <digest>: Preparing
    ERROR: access denied for base, repository does not exist or may require 'slipway login [registry]'
    ");
    let login = ["login", "-u", "user", "--password-stdin", authority];
    insta::assert_snapshot!(shown(&registry, &home, &run(&home, &login, "wrong\n")), @"
    exit status: 1 ERROR: `[registry]` refused the user name and the password: unauthorized: authentication required
    hint: log in with other credentials: `slipway login [registry]`
    ");
    insta::assert_snapshot!(shown(&registry, &home, &run(&home, &login, "secret\n")), @"
    exit status: 0 Login Succeeded

    WARNING! Your credentials are stored unencrypted in '[home]/.docker/config.json'.
    Configure a credential helper to remove this warning. See
    https://docs.docker.com/go/credential-store/
    ");
    let config = home.path(".docker/config.json");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(run(&home, &["push", "-q", &name], "").status.success());
    assert!(run(&home, &["pull", "-q", &name], "").status.success());
    insta::assert_snapshot!(shown(&registry, &home, &run(&home, &["logout", authority], "")), @"exit status: 0 Removing login credentials for [registry]");
    insta::assert_snapshot!(shown(&registry, &home, &run(&home, &["logout", authority], "")), @"exit status: 0 Not logged in to [registry]");
    assert!(!run(&home, &["pull", "-q", &name], "").status.success());
    assert!(!fs::read_to_string(&config).unwrap().contains(authority));
}

#[test]
fn credentials_come_from_a_file_of_ones_own_or_from_a_helper() {
    let (home, registry) = (Home::new(), Registry::with(Access::Password));
    let name = registry.name("base");
    home.ok(&["tag", "base", &name]);
    // base64 of `user:secret`.
    let auths = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, registry.authority);
    fs::write(home.path("auth.json"), auths).unwrap();
    let file = home.path("auth.json");
    assert!(run(&home, &["push", "-q", "--authfile", file.to_str().unwrap(), &name], "").status.success());
    assert!(!run(&home, &["pull", "-q", &name], "").status.success());
    fs::create_dir_all(home.path("bin")).unwrap();
    let helper = home.path("bin/docker-credential-chest");
    let script = "#!/bin/sh\n\
        case $1 in\n\
        get) test -f chest && cat chest || { echo credentials not found in native keychain; exit 1; };;\n\
        store) cat > chest;;\n\
        erase) rm chest;;\n\
        esac\n";
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(home.path(".docker")).unwrap();
    fs::write(home.path(".docker/config.json"), r#"{"credsStore":"chest"}"#).unwrap();
    assert!(!run(&home, &["pull", "-q", &name], "").status.success());
    let login = ["login", "-u", "user", "--password-stdin", &registry.authority];
    insta::assert_snapshot!(shown(&registry, &home, &run(&home, &login, "secret")), @"exit status: 0 Login Succeeded");
    assert!(run(&home, &["pull", "-q", &name], "").status.success());
    assert!(!fs::read_to_string(home.path(".docker/config.json")).unwrap().contains("auths"));
    assert!(run(&home, &["logout", &registry.authority], "").status.success());
    assert!(!run(&home, &["pull", "-q", &name], "").status.success());
}

#[test]
fn certificates_are_verified_where_somebody_says_who_signs_them() {
    let (home, registry) = (Home::new(), Registry::with(Access::Tls));
    let name = registry.name("base");
    home.ok(&["tag", "base", &name]);
    // On this machine any certificate will do, as in Docker.
    assert!(run(&home, &["push", "-q", &name], "").status.success());
    let directory = home.path(".config/docker/certs.d").join(&registry.authority);
    fs::create_dir_all(&directory).unwrap();
    fs::copy(registry.ca(), directory.join("ca.crt")).unwrap();
    assert!(run(&home, &["pull", "-q", &name], "").status.success());
    let other = Registry::with(Access::Tls);
    fs::copy(other.ca(), directory.join("ca.crt")).unwrap();
    let refused = run(&home, &["pull", "-q", &name], "");
    assert_eq!(refused.status.code(), Some(69));
    let text = shown(&registry, &home, &refused);
    assert!(
        text.contains("invalid peer certificate") && text.contains("certs.d/[registry]/ca.crt"),
        "{text}"
    );
    assert!(run(&home, &["pull", "-q", "--tls-verify=false", &name], "").status.success());
}

#[test]
fn a_registry_may_want_a_certificate_from_us() {
    let (home, registry) = (Home::new(), Registry::with(Access::Certificate));
    let name = registry.name("base");
    home.ok(&["tag", "base", &name]);
    let directory = home.path(".config/docker/certs.d").join(&registry.authority);
    fs::create_dir_all(&directory).unwrap();
    fs::copy(registry.ca(), directory.join("ca.crt")).unwrap();
    let refused = run(&home, &["push", "-q", &name], "");
    assert_eq!(refused.status.code(), Some(69), "{}", shown(&registry, &home, &refused));
    let (certificate, key) = registry.client_certificate();
    fs::copy(certificate, directory.join("client.cert")).unwrap();
    let refused = run(&home, &["push", "-q", &name], "");
    assert_eq!(refused.status.code(), Some(1));
    let text = shown(&registry, &home, &refused);
    assert!(text.contains("client.key"), "{text}");
    fs::copy(key, directory.join("client.key")).unwrap();
    for command in ["push", "pull"] {
        let done = run(&home, &[command, "-q", &name], "");
        assert!(done.status.success(), "{}", shown(&registry, &home, &done));
    }
    fs::remove_dir_all(&directory).unwrap();
    let (certificate, key) = registry.client_certificate();
    let text = format!(
        "[registry.'{}']\nca = [{:?}]\nkeypair = [{{ key = {key:?}, cert = {certificate:?} }}]\n",
        registry.authority,
        registry.ca()
    );
    let file = home.path(".config/slipway/registries.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, &text).unwrap();
    let done = run(&home, &["pull", "-q", &name], "");
    assert!(done.status.success(), "{}", shown(&registry, &home, &done));
    fs::write(&file, text + "http = true\n").unwrap();
    assert_eq!(run(&home, &["pull", "-q", &name], "").status.code(), Some(1));
}

#[test]
fn a_mirror_serves_what_is_named_after_another_registry() {
    let (home, mirror) = (Home::new(), Registry::start());
    mirror.push_with_skopeo(&home, "base", "team/app:1", &[]);
    let text = format!("[registry.\"absent.test\"]\nmirrors = [\"http://{}\"]\n", mirror.authority);
    fs::create_dir_all(home.path(".config/slipway")).unwrap();
    fs::write(home.path(".config/slipway/registries.toml"), text).unwrap();
    let pulled = run(&home, &["pull", "absent.test/team/app:1"], "");
    assert!(pulled.status.success(), "{}", shown(&mirror, &home, &pulled));
    assert_eq!(home.ok(&["run", "absent.test/team/app:1", "echo", "hello"]), "hello\n");
    fs::write(home.path(".config/slipway/registries.toml"), "[registry]\nx = 1\n").unwrap();
    let refused = run(&home, &["pull", "absent.test/team/app:1"], "");
    assert!(shown(&mirror, &home, &refused).contains("is not a valid registries file"));
}
