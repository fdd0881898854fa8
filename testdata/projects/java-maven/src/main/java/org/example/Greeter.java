package org.example;

import java.io.IOException;
import java.util.Properties;

public class Greeter {
    public static void main(String[] arguments) throws IOException {
        var texts = new Properties();
        texts.load(Greeter.class.getResourceAsStream("/texts.properties"));
        long memory = Runtime.getRuntime().maxMemory() >> 20;
        System.out.println(texts.getProperty("greeting") + " " + System.getProperty("user.name") + ", " + (memory <= 64));
    }
}
