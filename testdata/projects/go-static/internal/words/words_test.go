package words

import "testing"

func TestJoin(t *testing.T) {
	if got := Join([]string{"a", "b"}); got != "a, b" {
		t.Fatal(got)
	}
}
