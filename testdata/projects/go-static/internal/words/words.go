// Package words joins words.
package words

import "strings"

// Join puts a comma between words.
func Join(words []string) string { return strings.Join(words, ", ") }
