# Counts its calls.
class Counter
  def initialize
    @calls = 0
  end

  def call(_env)
    @calls += 1
    [200, { "Content-Type" => "text/plain" }, ["call #{@calls} as #{Process.uid}\n"]]
  end
end
