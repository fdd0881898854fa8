require "counter"
require "minitest/autorun"

class TestCounter < Minitest::Test
  def test_counts
    counter = Counter.new
    counter.call({})
    assert_equal 200, counter.call({}).first
  end
end
