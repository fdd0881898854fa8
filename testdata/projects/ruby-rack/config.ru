require "counter"
run Counter.new
