//! `--format` of the commands that list things.

use std::collections::BTreeMap;
use std::io::Write;

use crate::template::{Functions, Template, TemplateError, Value};

/// Least columns of a table's cell with its padding, and the padding: as Docker's tables.
const CELL_COLUMNS_MIN: usize = 10;
const CELL_PADDING: usize = 3;

const TABLE: &str = "table";
const JSON: &str = "json";

/// The titles of a table's columns, by field.
pub(crate) type Headers = [(&'static str, &'static str)];

/// How rows are shown: a table, JSON lines, or a template for each.
#[derive(Debug)]
pub(crate) struct Format {
    template: Template,
    is_table: bool,
}

impl Format {
    /// Reads `table`, `table TEMPLATE`, `json` or `TEMPLATE`; `table` alone means `default_table`.
    pub(crate) fn parse(source: &str, default_table: &str) -> Result<Self, TemplateError> {
        let source = if source == TABLE { default_table } else { source };
        let (source, is_table) = match source.strip_prefix(TABLE) {
            Some(rest) => (rest, true),
            None if source == JSON => ("{{json .}}", false),
            None => (source, false),
        };
        let source = source.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
        Ok(Self { template: Template::parse(&source)?, is_table })
    }

    /// The rows as text, each on a line of its own, below the titles if it is a table.
    pub(crate) fn render(&self, rows: &[Value], headers: &Headers) -> Result<String, TemplateError> {
        let mut lines = String::new();
        if self.is_table {
            let entry = |(field, title): &(&str, &str)| ((*field).to_owned(), Value::from(*title));
            let titles: BTreeMap<String, Value> = headers.iter().map(entry).collect();
            lines += &self.template.render(&Value::Map(titles), Functions::Headers)?;
            lines.push('\n');
        }
        for row in rows {
            lines += &self.template.render(row, Functions::Values)?;
            lines.push('\n');
        }
        Ok(if self.is_table { aligned(&lines) } else { lines })
    }
}

/// Aligns cells that end with a tab.
fn aligned(lines: &str) -> String {
    let mut writer = tabwriter::TabWriter::new(Vec::new()).minwidth(CELL_COLUMNS_MIN).padding(CELL_PADDING);
    writer.write_all(lines.as_bytes()).expect("memory takes every byte");
    let bytes = writer.into_inner().expect("memory takes every byte");
    String::from_utf8(bytes).expect("text stays text when spaces are added")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, String> {
        let row = |id: &str, tag: &str| Value::record([("ID", Value::from(id)), ("Tag", Value::from(tag))]);
        let rows = [row("0123456789ab", "v1"), row("b", "a-long-tag-name")];
        let headers = [("ID", "IMAGE ID"), ("Tag", "TAG")];
        let format =
            Format::parse(source, "table {{.ID}}\t{{.Tag}}\t{{.ID}}").map_err(|error| error.to_string())?;
        format.render(&rows, &headers).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_has_titles_and_padded_columns() {
        insta::assert_snapshot!(render("table").unwrap(), @r"
        IMAGE ID       TAG               IMAGE ID
        0123456789ab   v1                0123456789ab
        b              a-long-tag-name   b
        ");
        insta::assert_snapshot!(render(r"table {{upper .Tag}}\t{{.ID}}").unwrap(), @r"
        TAG               IMAGE ID
        V1                0123456789ab
        A-LONG-TAG-NAME   b
        ");
    }

    #[test]
    fn other_formats_have_a_line_for_each_row() {
        assert_eq!(render("{{.Tag}}").unwrap(), "v1\na-long-tag-name\n");
        assert_eq!(
            render("json").unwrap(),
            "{\"ID\":\"0123456789ab\",\"Tag\":\"v1\"}\n{\"ID\":\"b\",\"Tag\":\"a-long-tag-name\"}\n"
        );
    }

    #[test]
    fn mistakes_are_reported() {
        insta::assert_snapshot!(render("{{.Nope}}").unwrap_err(), @r#"template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope""#);
        insta::assert_snapshot!(render("{{").unwrap_err(), @"template: :1: unclosed action");
    }
}
