//! Which questions there are (`frontend.subrequests.describe`).

use super::json::{Fields, Json};
use super::text::table;

/// Blanks between the columns.
const PADDING: usize = 1;

/// What the names of questions begin with; the text leaves it out.
const PREFIX: &str = "frontend.";

/// Of all of them.
const VERSION: &str = "1.0.0";

/// The questions that BuildKit's frontend lists. It answers one more, the checks, without listing it.
#[derive(Debug, Clone, Copy)]
pub struct Requests;

/// A question.
struct Request {
    name: &'static str,
    description: &'static str,
    /// Parameters with their descriptions; none where BuildKit has no list of them.
    parameters: Option<&'static [(&'static str, &'static str)]>,
}

const REQUESTS: [Request; 3] = [
    Request {
        name: "frontend.outline",
        description: "List all parameters current build target supports",
        parameters: Some(&[("target", "Target build stage")]),
    },
    Request {
        name: "frontend.targets",
        description: "List all targets current build supports",
        parameters: Some(&[]),
    },
    Request {
        name: "frontend.subrequests.describe",
        description: "List available subrequest types",
        parameters: None,
    },
];

impl Requests {
    /// The answer as BuildKit's JSON.
    pub fn json(self) -> String {
        Json::List(REQUESTS.iter().map(Request::json).collect()).render()
    }

    /// The answer as BuildKit's table.
    pub fn text(self) -> String {
        let mut rows = vec![["NAME", "VERSION", "DESCRIPTION"].map(str::to_owned).to_vec()];
        rows.extend(REQUESTS.iter().map(|request| {
            let name = request.name.trim_start_matches(PREFIX);
            [name, VERSION, request.description].map(str::to_owned).to_vec()
        }));
        table(&rows, PADDING)
    }
}

impl Request {
    fn json(&self) -> Json {
        let named = |(name, description): &(&str, &str)| {
            Fields::default()
                .with("name", Json::Text((*name).to_owned()))
                .with("description", Json::Text((*description).to_owned()))
                .object()
        };
        let parameters = self.parameters.map(|all| Json::List(all.iter().map(named).collect()));
        let results = [("result.json", ""), ("result.txt", "")];
        Fields::default()
            .with("name", Json::Text(self.name.to_owned()))
            .with("version", Json::Text(VERSION.to_owned()))
            .with("type", Json::Text("rpc".to_owned()))
            .with("description", Json::Text(self.description.to_owned()))
            .with("opts", parameters.unwrap_or(Json::Null))
            .with("inputs", Json::Null)
            .with("metadata", Json::List(results.iter().map(named).collect()))
            .with("refs", Json::Null)
            .object()
    }
}
