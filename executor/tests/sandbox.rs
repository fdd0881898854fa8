//! Sandboxes on the real kernel: as root, as a user with subordinate ids, as a user with one id.
//!
//! The binary of the tests is also the helper of the sandboxes, hence a `main` of its own.
#![allow(clippy::unwrap_used)] // An error in a test is a failed test.

#[path = "cases/attacks.rs"]
mod attacks;
#[path = "cases/files.rs"]
mod files;
#[path = "support/harness.rs"]
mod harness;
#[path = "cases/isolation.rs"]
mod isolation;
#[path = "cases/lifetime.rs"]
mod lifetime;
#[path = "cases/namespace.rs"]
mod namespace;
#[path = "cases/network.rs"]
mod network;
#[path = "cases/resources.rs"]
mod resources;
#[path = "cases/running.rs"]
mod running;
#[path = "cases/second_wall.rs"]
mod second_wall;
mod support;
#[path = "cases/users.rs"]
mod users;

use harness::Scenario;
use support::Mode::{Ranges, Root, Single};

const EVERYBODY: &[support::Mode] = &[Root, Ranges, Single];
const WITH_IDS: &[support::Mode] = &[Root, Ranges];
/// Users are pretended by the scenario itself.
const ROOT: &[support::Mode] = &[Root];
const RANGES: &[support::Mode] = &[Ranges];
const ONE_ID: &[support::Mode] = &[Single];

/// In a process that runs no other test.
const OWN_PROCESS: &[support::Mode] = &[Ranges, Single];

macro_rules! scenarios {
    ($($modes:ident $module:ident::$name:ident,)*) => {
        &[$(Scenario { name: stringify!($name), modes: $modes, test: $module::$name }),*]
    };
}

fn main() -> std::process::ExitCode {
    executor::dispatch();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == lifetime::HOLD) {
        return lifetime::hold(&arguments[2..]);
    }
    if arguments.get(1).is_some_and(|word| word == isolation::CHMOD_SELF) {
        return isolation::chmod_self();
    }
    if arguments.get(1).is_some_and(|word| word == namespace::BECOME_ROOT) {
        return namespace::try_to_become_root();
    }
    if arguments.get(1).is_some_and(|word| word == network::ON_HOST) {
        return network::on_host();
    }
    if arguments.get(1).is_some_and(|word| word == resources::SWEEP) {
        return resources::sweep();
    }
    harness::main(scenarios![
        EVERYBODY namespace::root_stays_root,
        RANGES namespace::a_refusal_names_the_call,
        EVERYBODY files::changes_are_in_the_upper_directory,
        EVERYBODY files::opaque_directories_are_marked_for_users,
        EVERYBODY files::complete_after_wait,
        EVERYBODY files::a_run_without_changes_leaves_nothing,
        EVERYBODY files::missing_mount_points_leave_no_trace,
        EVERYBODY files::changes_beside_mount_points_stay,
        EVERYBODY files::clean_up_touches_only_its_own,
        EVERYBODY files::dangling_resolv_conf,
        EVERYBODY files::small_files_do_not_reach_the_layer,
        EVERYBODY files::read_only_root,
        EVERYBODY files::read_only_memory,
        EVERYBODY files::bind_mounts,
        EVERYBODY files::sources_stay_beneath_their_root,
        EVERYBODY files::targets_stay_in_the_root,
        EVERYBODY files::swapped_links_lead_nowhere,
        EVERYBODY files::overlay_mounts,
        EVERYBODY files::secret_files,
        EVERYBODY files::device_files,
        EVERYBODY files::sockets,
        EVERYBODY files::moved_parents_of_memory_mounts,
        EVERYBODY files::a_work_directory_is_for_one_run,
        EVERYBODY files::a_lower_that_is_missing,
        EVERYBODY isolation::namespaces_are_new,
        EVERYBODY isolation::nothing_is_above_the_root,
        EVERYBODY isolation::no_network,
        EVERYBODY isolation::capabilities,
        EVERYBODY isolation::privileged,
        EVERYBODY isolation::descriptors,
        EVERYBODY isolation::devices,
        EVERYBODY isolation::device_nodes_cannot_be_opened,
        EVERYBODY isolation::masked_and_read_only_paths,
        EVERYBODY isolation::own_paths_are_masked,
        EVERYBODY isolation::refused_calls,
        EVERYBODY isolation::newer_and_allowed_calls,
        EVERYBODY isolation::other_abis_are_refused,
        EVERYBODY isolation::session_keyring_is_its_own,
        EVERYBODY isolation::working_directory,
        EVERYBODY isolation::own_binary_cannot_be_changed,
        EVERYBODY isolation::hostile_mount_points,
        EVERYBODY isolation::device_file_in_place_of_dev_null,
        EVERYBODY attacks::every_socket_family,
        EVERYBODY attacks::more_than_120_calls,
        EVERYBODY attacks::endless_output_is_stopped,
        EVERYBODY attacks::daemons_end_with_the_command,
        EVERYBODY second_wall::without_seccomp_the_host_is_out_of_reach,
        EVERYBODY second_wall::abstract_sockets_of_the_host_are_out_of_reach,
        EVERYBODY second_wall::who_may_mount_mounts,
        EVERYBODY second_wall::streams_can_be_opened_again,
        EVERYBODY second_wall::files_move_between_directories,
        EVERYBODY lifetime::killing_the_engine_kills_the_tree,
        EVERYBODY lifetime::the_work_directory_is_empty,
        EVERYBODY lifetime::killing_the_engine_at_any_time,
        EVERYBODY lifetime::killing_the_engine_leaves_no_groups,
        EVERYBODY lifetime::killing_the_helper_kills_the_tree,
        WITH_IDS lifetime::a_changed_user_does_not_escape,
        EVERYBODY lifetime::nothing_stays_mounted,
        OWN_PROCESS lifetime::descriptors_do_not_pile_up,
        OWN_PROCESS lifetime::helpers_can_be_started_in_advance,
        OWN_PROCESS lifetime::a_process_made_ahead_becomes_the_command,
        OWN_PROCESS lifetime::what_was_made_ahead_gives_way,
        OWN_PROCESS lifetime::what_was_made_ahead_does_not_stay,
        EVERYBODY lifetime::ignored_sigchld_does_no_harm,
        OWN_PROCESS lifetime::no_zombies,
        EVERYBODY running::exit_codes,
        EVERYBODY running::output_arrives_in_streams,
        EVERYBODY running::output_arrives_while_the_command_runs,
        EVERYBODY running::signals_reach_the_command,
        EVERYBODY running::another_thread_can_kill,
        EVERYBODY running::dropping_kills,
        EVERYBODY running::background_processes_end_with_the_command,
        EVERYBODY running::stdin_is_read_to_its_end,
        EVERYBODY running::environment_is_the_given_one,
        EVERYBODY running::usage_is_measured,
        EVERYBODY running::missing_program,
        EVERYBODY running::program_that_cannot_run,
        EVERYBODY running::bad_fields_are_named,
        EVERYBODY running::long_errors_are_reported,
        EVERYBODY running::large_jobs_fit,
        EVERYBODY running::limits_umask_and_names,
        EVERYBODY running::terminal,
        EVERYBODY running::terminal_has_job_control,
        EVERYBODY running::many_at_once,
        EVERYBODY running::many_layers_and_odd_paths,
        EVERYBODY running::parents_ignored_signals_are_not_inherited,
        EVERYBODY running::directory_as_root,
        ROOT resources::a_memory_hog_is_killed_and_told,
        ROOT resources::a_fork_bomb_meets_its_limit,
        ROOT resources::the_account_counts,
        ROOT resources::groups_are_those_of_the_sandbox_and_go_with_it,
        ROOT resources::impossible_limits_are_named,
        ROOT resources::what_was_left_behind_is_swept,
        ROOT network::veth_reaches_the_outside,
        ROOT network::users_have_a_program_for_it,
        ROOT network::the_first_socket_is_connected,
        ROOT network::a_socket_without_a_network_ends_the_command,
        ROOT network::without_an_outlet_there_are_reasons,
        ROOT network::addresses_are_away_from_routes,
        ROOT network::only_the_host_connects_to_a_sandbox,
        ROOT network::other_firewalls_let_sandboxes_pass,
        ROOT network::a_quiet_namespace_is_used_again,
        ROOT network::nothing_of_the_network_stays,
        WITH_IDS users::names_and_numbers,
        WITH_IDS users::unknown_and_impossible,
        WITH_IDS users::images_without_users,
        WITH_IDS users::hostile_files,
        WITH_IDS users::links_stay_in_the_image,
        WITH_IDS users::streams_belong_to_the_user,
        ONE_ID users::a_single_id_says_so,
    ])
}
