//! The messages of BuildKit's API, under the names that are used here.

pub(crate) use bollard_buildkit_proto::fsutil::types::{Packet, Stat, packet::PacketType};
pub(crate) use bollard_buildkit_proto::google::protobuf::{Any, Timestamp};
pub(crate) use bollard_buildkit_proto::google::rpc;
pub(crate) use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
};
pub(crate) use bollard_buildkit_proto::moby::buildkit::secrets::v1 as secrets;
pub(crate) use bollard_buildkit_proto::moby::buildkit::v1 as control;
pub(crate) use bollard_buildkit_proto::moby::buildkit::v1::apicaps::ApiCap;
pub(crate) use bollard_buildkit_proto::moby::buildkit::v1::frontend as bridge;
pub(crate) use bollard_buildkit_proto::moby::buildkit::v1::types;
pub(crate) use bollard_buildkit_proto::moby::filesync::v1 as filesync;
pub(crate) use bollard_buildkit_proto::moby::sshforward::v1 as ssh;
pub(crate) use bollard_buildkit_proto::moby::upload::v1 as upload;
pub(crate) use bollard_buildkit_proto::pb;

/// A time of the messages.
pub(crate) fn system_time(time: &Timestamp) -> std::time::SystemTime {
    let since = std::time::Duration::new(
        u64::try_from(time.seconds).unwrap_or(0),
        u32::try_from(time.nanos).unwrap_or(0).min(999_999_999),
    );
    std::time::UNIX_EPOCH.checked_add(since).unwrap_or(std::time::UNIX_EPOCH)
}

/// A time as the messages have it.
pub(crate) fn timestamp(time: std::time::SystemTime) -> Timestamp {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(since.subsec_nanos()).expect("a second has fewer than 2^31 ns");
    Timestamp { seconds, nanos }
}
