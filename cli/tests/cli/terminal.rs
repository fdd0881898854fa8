//! On a real terminal: tmux keeps what a user would see.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{World, binary};

/// Longest that anything on the terminal may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal of its own server, which ends with it.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn new(world: &World, columns: u16, rows: u16) -> Self {
        let terminal = Self { socket: world.path("tmux").display().to_string() };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let home = world.path("");
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            "-c",
            home.to_str().unwrap(),
            "sh",
        ]);
        terminal.type_line(&format!(
            "export HOME={0} SLIPWAY_ROOT={0}/store PS1='$ ' TERM=screen; unset NO_COLOR; alias slipway={1}; clear",
            home.display().to_string().trim_end_matches('/'),
            binary().display(),
        ));
        terminal.wait(|screen| screen.trim_end() == "$");
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-S", &self.socket]).args(arguments).env_remove("TMUX");
        let output = command.output().expect("the tests need the package tmux");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn type_line(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
        self.tmux(&["send-keys", "Enter"]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows what is wanted, and returns it.
    fn wait(&self, is_there: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if is_there(&screen) {
                return screen;
            }
            assert!(begin.elapsed() < PATIENCE, "not on the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a line.
    fn wait_line(&self, line: &str) -> String {
        self.wait(|screen| screen.lines().any(|shown| shown.trim_end() == line))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_build_is_shown_live() {
    let world = World::new();
    let terminal = Terminal::new(&world, 80, 24);
    world.context(
        "Dockerfile",
        "FROM bb\nRUN for i in $(seq 9); do echo line $i; done; sleep 1.5\nRUN echo two\n",
    );
    terminal.type_line("slipway build -t x context; echo code $?");
    let live = terminal.wait(|screen| screen.contains("=> => # line 9"));
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(live, @"
    $ slipway build -t x context; echo code $?
    [+] Building <time> (4/6)
     => [internal] load build definition from Dockerfile                       <time>
     => => transferring dockerfile: <size> / <size>                                  <time>
     => [internal] load .dockerignore                                          <time>
     => [internal] load metadata for docker.io/library/bb:latest               <time>
     => [1/3] FROM docker.io/library/bb:latest                                 <time>
     => [2/3] RUN for i in $(seq 9); do echo line $i; done; sleep 1.5          <time>
     => => # line 4
     => => # line 5
     => => # line 6
     => => # line 7
     => => # line 8
     => => # line 9
    ");
    let done = terminal.wait_line("code 0");
    insta::assert_snapshot!(done, @"
    $ slipway build -t x context; echo code $?
    [+] Building <time> (7/7) FINISHED
     => [internal] load build definition from Dockerfile                       <time>
     => => transferring dockerfile: <size> / <size>                                  <time>
     => [internal] load .dockerignore                                          <time>
     => [internal] load metadata for docker.io/library/bb:latest               <time>
     => [1/3] FROM docker.io/library/bb:latest                                 <time>
     => [2/3] RUN for i in $(seq 9); do echo line $i; done; sleep 1.5          <time>
     => [3/3] RUN echo two                                                     <time>
     => exporting to image                                                     <time>
    code 0
    $
    ");
}

#[test]
fn a_resized_terminal_stays_in_order() {
    let world = World::new();
    let terminal = Terminal::new(&world, 100, 24);
    world.context(
        "Dockerfile",
        "FROM bb\nRUN echo one two three four five six seven eight nine ten eleven; sleep 1.5\n",
    );
    terminal.type_line("slipway build context; echo code $?");
    terminal.wait(|screen| screen.contains("=> => # one"));
    terminal.tmux(&["resize-window", "-x", "50", "-y", "20"]);
    let done = terminal.wait_line("code 0");
    assert_eq!(done.matches("[+] Building").count(), 1, "{done}");
    assert_eq!(done.matches("RUN echo one").count(), 1, "{done}");
    assert!(done.lines().all(|line| line.chars().count() <= 50), "{done}");
}

#[test]
fn ctrl_c_leaves_the_terminal_usable() {
    let world = World::new();
    let terminal = Terminal::new(&world, 80, 24);
    world.context("Dockerfile", "FROM bb\nRUN echo started; sleep 60\n");
    terminal.type_line("slipway build context; echo code $?");
    terminal.wait(|screen| screen.contains("=> => # started"));
    terminal.tmux(&["send-keys", "C-c"]);
    let done = terminal.wait_line("code 130");
    assert!(done.contains("CANCELED [2/2] RUN echo started"), "{done}");
    assert_eq!(terminal.tmux(&["display-message", "-p", "#{cursor_flag}"]).trim(), "1");
}

#[test]
fn a_failed_build_keeps_its_output_on_the_screen() {
    let world = World::new();
    // Wide enough for every path in one line.
    let terminal = Terminal::new(&world, 200, 30);
    world.context("Dockerfile", "FROM bb\nRUN echo some output; exit 3\n");
    terminal.type_line("slipway build context; echo code $?");
    let done = terminal.wait_line("code 1");
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(done, @r#"
    $ slipway build context; echo code $?
    [+] Building <time> (5/5) FINISHED
     => [internal] load build definition from Dockerfile                                                                                                                                               <time>
     => => transferring dockerfile: <size> / <size>                                                                                                                                                          <time>
     => [internal] load .dockerignore                                                                                                                                                                  <time>
     => [internal] load metadata for docker.io/library/bb:latest                                                                                                                                       <time>
     => [1/2] FROM docker.io/library/bb:latest                                                                                                                                                         <time>
     => ERROR [2/2] RUN echo some output; exit 3                                                                                                                                                       <time>
    ------
     > [2/2] RUN echo some output; exit 3:
    <time> some output
    ------
    error: this step failed, exit code: 3
     --> Dockerfile:2:1
    2 | RUN echo some output; exit 3
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: process "/bin/sh -c echo some output; exit 3" did not complete successfully: exit code: 3
    hint: all of its output is in `[home]/store/logs/<build>/5.log`
    code 1
    $
    "#);
}

#[test]
fn a_container_has_a_terminal_of_its_own() {
    let world = World::new();
    let terminal = Terminal::new(&world, 90, 25);
    terminal.type_line("slipway run -it bb sh");
    terminal.wait(|screen| screen.trim_end().ends_with('#'));
    terminal.type_line("PS1='in: '; stty size; echo tty $([ -t 0 ] && echo yes)");
    terminal.wait_line("25 90");
    terminal.wait_line("tty yes");
    terminal.tmux(&["resize-window", "-x", "70", "-y", "22"]);
    terminal.wait(|_| {
        terminal.type_line("clear; stty size");
        std::thread::sleep(Duration::from_millis(100));
        terminal.screen().lines().any(|line| line.trim_end() == "22 70")
    });
    // Ctrl-C goes to the programs in the container, as a key.
    terminal.type_line("sleep 100");
    std::thread::sleep(Duration::from_millis(300));
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.type_line("echo interrupted $?");
    terminal.wait_line("interrupted 130");
    terminal.type_line("exit 5");
    terminal.wait(|screen| screen.trim_end().ends_with("\n$"));
    terminal.type_line("echo code $?");
    terminal.wait_line("code 5");
    // The keyboard is in its old mode: what is typed is shown, and lines are lines.
    terminal.type_line("stty -a | grep -o ' icanon'");
    terminal.wait_line(" icanon");
}

#[test]
fn a_terminal_can_be_left_and_come_back_to() {
    let world = World::new();
    let terminal = Terminal::new(&world, 90, 25);
    terminal.type_line("slipway run -it --name shell bb sh");
    terminal.wait(|screen| screen.contains("/ #"));
    terminal.type_line("echo first $((40 + 2)); stty size");
    terminal.wait_line("first 42");
    terminal.wait_line("25 90");
    terminal.tmux(&["send-keys", "C-p", "C-q"]);
    terminal.wait(|screen| screen.contains("read escape sequence"));
    terminal.type_line("clear; slipway ps --format '{{.Names}} {{.State}}'");
    terminal.wait_line("shell running");
    terminal.tmux(&["resize-window", "-x", "70", "-y", "22"]);
    terminal.type_line("clear; slipway attach shell");
    terminal.wait(|screen| {
        if !screen.contains("/ #") {
            terminal.tmux(&["send-keys", "Enter"]);
        }
        screen.contains("/ #")
    });
    terminal.type_line("stty size");
    terminal.wait_line("22 70");
    terminal.type_line("exit 6");
    terminal.wait(|screen| screen.trim_end().ends_with("\n$"));
    terminal.type_line("clear; echo code $?; slipway inspect -f '{{.State.ExitCode}}' shell");
    terminal.wait_line("6");
    // A second command has a terminal of its own.
    terminal.type_line(
        "clear; slipway start shell; slipway exec -it shell sh -c 'tty; stty size; read x; echo got $x'",
    );
    terminal.wait_line("/dev/pts/1");
    terminal.wait_line("22 70");
    terminal.type_line("word");
    terminal.wait_line("got word");
    terminal.type_line("clear; slipway exec -it shell sh");
    terminal.wait(|screen| screen.contains("/ #"));
    terminal.tmux(&["send-keys", "C-p", "C-q"]);
    terminal.wait(|screen| screen.contains("read escape sequence"));
    let mut told = vec!["events", "--since", "0", "--until", "0s", "--format", "{{.Action}}"];
    told.extend(["-f", "event=detach", "-f", "event=exec_detach"]);
    assert_eq!(world.ok(&told), "detach\nexec_detach\n");
    let size = "{{.Actor.Attributes.width}}x{{.Actor.Attributes.height}}";
    let resized =
        world.ok(["events", "--since", "0", "--until", "0s", "--format", size, "-f", "event=resize"]);
    assert!(resized.lines().any(|line| line == "70x22"), "{resized}");
    terminal.type_line("clear; slipway rm -f shell");
    terminal.wait_line("shell");
}
