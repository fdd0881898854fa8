<?php
$database = new PDO('sqlite::memory:');
$sum = $database->query('SELECT 20 + 22')->fetchColumn();
echo "the answer is $sum, on " . PHP_MAJOR_VERSION . "\n";
