//! Collects the result of an expansion, whole and split into words.

/// The text so far, and its words.
#[derive(Debug, Default)]
pub(super) struct Words {
    text: String,
    word: String,
    words: Vec<String>,
    in_word: bool,
}

impl Words {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A character that ends a word when it is a blank.
    pub(super) fn push_char(&mut self, c: char) {
        self.text.push(c);
        self.split_char(c);
    }

    /// A value whose blanks end words.
    pub(super) fn push_splitting(&mut self, value: &str) {
        self.text.push_str(value);
        value.chars().for_each(|c| self.split_char(c));
    }

    /// A character that is part of the word in any case.
    pub(super) fn push_quoted_char(&mut self, c: char) {
        self.text.push(c);
        self.word.push(c);
        self.in_word = true;
    }

    /// A value that is part of the word in any case.
    pub(super) fn push_quoted(&mut self, value: &str) {
        self.text.push_str(value);
        self.word.push_str(value);
        self.in_word = true;
    }

    fn split_char(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
            self.in_word = true;
        } else if self.in_word && !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
            self.in_word = false;
        }
    }

    pub(super) fn finish(mut self) -> (String, Vec<String>) {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        (self.text, self.words)
    }
}
