//! Pieces of SVG.

use std::fmt::Write as _;

use super::text::escape;

/// A drawing that grows.
#[derive(Debug, Default)]
pub(super) struct Drawing(String);

impl Drawing {
    /// A rectangle with rounded corners.
    pub(super) fn rectangle(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let _ = writeln!(
            self.0,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2"/>"#
        );
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let _ = writeln!(
            self.0,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    /// A line by the commands of SVG's paths.
    pub(super) fn path(&mut self, class: &str, commands: &str) {
        let _ = writeln!(self.0, r#"<path class="{class}" d="{commands}"/>"#);
    }

    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let _ = writeln!(self.0, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#, escape(text));
    }

    /// What follows until [`Drawing::close`] belongs together, and shows `title` under the pointer.
    pub(super) fn open(&mut self, class: &str, title: &str) {
        let _ = writeln!(self.0, r#"<g class="{class}"><title>{}</title>"#, escape(title));
    }

    pub(super) fn close(&mut self) {
        self.0 += "</g>\n";
    }

    /// The whole picture.
    pub(super) fn finish(self, label: &str, (width, height): (f64, f64)) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\">\n{}</svg>\n",
            escape(label),
            self.0
        )
    }
}
