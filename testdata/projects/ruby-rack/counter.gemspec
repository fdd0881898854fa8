Gem::Specification.new do |spec|
  spec.name = "counter"
  spec.version = "0.1.0"
  spec.summary = "Counts its calls."
  spec.authors = ["Nobody"]
  spec.files = Dir["lib/**/*.rb"]
end
