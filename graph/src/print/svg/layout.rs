//! Where the vertices of a drawing stand: a column for each stage, sources to the left, time goes down.

use std::collections::HashMap;

use crate::{BuildGraph, VertexId};

/// Longest line of a label, characters.
pub(super) const LABEL_CHARS_MAX: usize = 44;

/// Most lines of a label.
pub(super) const LABEL_LINES_MAX: usize = 2;

/// A drawing without sizes.
///
/// Invariants: no two vertices stand at one place, and every edge goes down, to the right, or both.
pub(super) struct Layout {
    /// The places of the vertices, in the order of the graph.
    pub(super) places: Vec<Place>,
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
}

/// Where a vertex stands, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) column: usize,
    pub(super) row: usize,
}

/// The vertices of a stage.
pub(super) struct Column {
    /// Empty for vertices of no stage.
    pub(super) stage: String,
    /// The longest line of a label, characters.
    pub(super) label_chars: usize,
    next_row: usize,
}

impl Layout {
    pub(super) fn new(graph: &BuildGraph) -> Self {
        let mut layout = Self { places: Vec::with_capacity(graph.len()), columns: Vec::new(), rows: 0 };
        let mut by_stage: HashMap<&str, usize> = HashMap::new();
        // Sources stand to the left of all that read them, so their column is the first, when there is one.
        if graph.vertices().any(|(_, vertex)| vertex.label.stage.is_empty()) {
            by_stage.insert("", layout.add_column(""));
        }
        for (_, vertex) in graph.vertices() {
            let stage = vertex.label.stage.as_str();
            let column = *by_stage.entry(stage).or_insert_with(|| layout.add_column(stage));
            let longest = lines(&vertex.label.name).iter().map(|line| line.chars().count()).max();
            layout.place(column, &vertex.inputs, longest.unwrap_or_default());
        }
        layout
    }

    fn add_column(&mut self, stage: &str) -> usize {
        self.columns.push(Column { stage: stage.to_owned(), label_chars: 0, next_row: 0 });
        self.columns.len() - 1
    }

    /// Stages name only stages in front of them, so what comes from another column comes from the left and may stand
    /// in the same row.
    fn place(&mut self, column: usize, inputs: &[VertexId], label_chars: usize) {
        let lowest = inputs.iter().map(|input| {
            let place = self.places[input.index()];
            place.row + usize::from(place.column >= column)
        });
        let row = lowest.max().unwrap_or(0).max(self.columns[column].next_row);
        let entry = &mut self.columns[column];
        entry.next_row = row + 1;
        entry.label_chars = entry.label_chars.max(label_chars);
        self.rows = self.rows.max(row + 1);
        self.places.push(Place { column, row });
    }
}

/// A name as the lines of a label, broken between words where that is possible; what is too long ends in dots.
pub(super) fn lines(name: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = super::super::one_line(name);
    while !rest.is_empty() {
        let (line, behind) = split(&rest);
        *lines.last_mut().expect("there is a first line") = line;
        rest = behind;
        if rest.is_empty() {
            break;
        }
        if lines.len() == LABEL_LINES_MAX {
            let last = lines.last_mut().expect("there is a last line");
            *last = last.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect();
            break;
        }
        lines.push(String::new());
    }
    lines
}

/// The first line of a text, and what is left.
fn split(text: &str) -> (String, String) {
    let Some((end, _)) = text.char_indices().nth(LABEL_CHARS_MAX) else {
        return (text.to_owned(), String::new());
    };
    let at = text[..=end].rfind(' ').filter(|at| *at > 0).unwrap_or(end);
    (text[..at].to_owned(), text[at..].trim_start().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Label, Op, Vertex};

    /// A graph of vertices with these stages and inputs.
    fn graph(vertices: &[(&str, &[usize])]) -> BuildGraph {
        let mut graph = BuildGraph::new();
        let mut ids = Vec::new();
        for (stage, inputs) in vertices {
            let label = Label { name: "x".to_owned(), stage: (*stage).to_owned(), location: None };
            let inputs = inputs.iter().map(|input| ids[*input]).collect();
            ids.push(graph.add(Vertex { op: Op::Scratch, inputs, label, no_cache: false }));
        }
        graph
    }

    fn places(vertices: &[(&str, &[usize])]) -> Vec<(usize, usize)> {
        Layout::new(&graph(vertices)).places.iter().map(|place| (place.column, place.row)).collect()
    }

    #[test]
    fn stages_are_columns_and_what_they_read_stands_to_the_left() {
        let graph: &[(&str, &[usize])] =
            &[("a", &[]), ("", &[]), ("a", &[0, 1]), ("b", &[]), ("b", &[3, 2]), ("c", &[4, 2])];
        assert_eq!(places(graph), [(1, 0), (0, 0), (1, 1), (2, 0), (2, 1), (3, 1)]);
    }

    #[test]
    fn a_source_that_is_made_of_another_stands_below_it() {
        assert_eq!(
            places(&[("", &[]), ("", &[0]), ("", &[]), ("a", &[1])]),
            [(0, 0), (0, 1), (0, 2), (1, 1)]
        );
    }

    #[test]
    fn edges_go_down_or_to_the_right_and_no_place_is_taken_twice() {
        let stages = ["", "a", "b", "c", "d"];
        let vertices: Vec<(&str, Vec<usize>)> = (0..200_usize)
            .map(|n| {
                let inputs = [n * 7 % 11, n * 3 % 17].map(|back| n.saturating_sub(back + 1));
                (stages[(n / 40).min(4)], if n < 3 { Vec::new() } else { inputs.to_vec() })
            })
            .collect();
        let vertices: Vec<_> = vertices.iter().map(|(stage, inputs)| (*stage, inputs.as_slice())).collect();
        let graph = graph(&vertices);
        let layout = Layout::new(&graph);
        let mut seen = std::collections::HashSet::new();
        for (id, vertex) in graph.vertices() {
            let place = layout.places[id.index()];
            assert!(seen.insert(place), "{place:?} is taken twice");
            for from in vertex.inputs.iter().map(|input| layout.places[input.index()]) {
                let goes_right = from.column < place.column && from.row <= place.row;
                assert!(
                    goes_right || (from.column == place.column && from.row < place.row),
                    "{from:?} {place:?}"
                );
            }
        }
    }

    #[test]
    fn long_names_are_broken_between_words_and_end_in_dots() {
        assert_eq!(lines("short"), ["short"]);
        let name = format!("RUN {}", "word ".repeat(30));
        let broken = lines(&name);
        assert_eq!(broken.len(), LABEL_LINES_MAX);
        assert!(broken[0].ends_with("word") && broken[1].ends_with('…'));
        assert!(lines(&"x".repeat(500)).iter().all(|line| line.chars().count() <= LABEL_CHARS_MAX));
    }
}
